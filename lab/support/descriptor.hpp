// An open file that closes itself.
#pragma once

#include <unistd.h>

#include <utility>

namespace gradstab::lab {

/// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) noexcept : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { close(); }

  bool valid() const noexcept { return number_ >= 0; }
  int number() const noexcept { return number_; }
  /// Gives it away: whoever calls this closes it.
  int release() noexcept { return std::exchange(number_, -1); }
  /// False, with errno set, where the system reports a failed write only now.
  bool close() noexcept { return number_ < 0 || ::close(release()) == 0; }

 private:
  int number_ = -1;
};

}  // namespace gradstab::lab
