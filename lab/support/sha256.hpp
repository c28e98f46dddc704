// SHA-256 of bytes that come in pieces.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace gradstab::lab {

using Sha256Digest = std::array<std::uint8_t, 32>;

/// FIPS 180-4, by OpenSSL.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void update(std::string_view bytes);
  /// Of all that came. Call once, last.
  Sha256Digest digest();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// 64 hexadecimal digits, as sha256sum prints them.
std::string to_hex(const Sha256Digest& digest);

}  // namespace gradstab::lab
