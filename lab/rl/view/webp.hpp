// Films as WebP animations, which every browser shows in an <img>. The pictures are coded by libwebp, which
// is loaded when a film is made; the container around them is a few headers and written here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab::rl {

class WebpAnimation {
 public:
  /// Pictures of this size, at most 16384 in both directions. failed_precondition, in one line, without
  /// libwebp.
  static Result<WebpAnimation> create(int width, int height);
  WebpAnimation(WebpAnimation&&) noexcept;
  ~WebpAnimation();

  /// Appends a picture, width x height x RGB from the top row down, which stays for `milliseconds`.
  Status add(const std::vector<std::uint8_t>& pixels, int milliseconds);
  int pictures() const noexcept;
  /// The file.
  std::string finish() const;

 private:
  struct Parts;
  explicit WebpAnimation(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace gradstab::lab::rl
