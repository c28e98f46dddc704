// Open files, and what goes wrong with them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "gradstab/status.hpp"

namespace gradstab::files {

/// "cannot open 'PATH': No such file or directory"
Status io_error(const char* doing, const std::string& path, int error_number);

/// An open file that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) noexcept : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }

  bool valid() const noexcept { return number_ >= 0; }
  int number() const noexcept { return number_; }
  /// What the system holds back until the end it may say here.
  bool close() noexcept;

 private:
  int number_;
};

/// False: not all of them were written, and errno says why.
bool write_all(int descriptor, std::span<const std::byte> bytes) noexcept;

/// Fills the front of `bytes`, all of it unless the file ends. The number of bytes; -1: errno says why not.
std::ptrdiff_t read_some(int descriptor, std::span<std::byte> bytes) noexcept;

}  // namespace gradstab::files
