#include "lab/rl/view/webp.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace gradstab::lab::rl {
namespace {

// Of libwebp's interface, which has been the same since its first version.
using Encode = std::size_t (*)(const std::uint8_t* rgb, int width, int height, int stride, float quality,
                               std::uint8_t** output);
using Free = void (*)(void*);

struct Encoder {
  Encode encode = nullptr;
  Free release = nullptr;
};

constexpr float kQuality = 75.0F;
constexpr std::size_t kRiffHeader = 12;  // "RIFF", size, "WEBP"
constexpr std::uint8_t kAnimationFlag = 2;
constexpr std::uint8_t kDoNotBlend = 2;

Result<Encoder> load_encoder() {
  void* library = nullptr;
  for (const char* name : {"libwebp.so.7", "libwebp.so"}) {
    if (library == nullptr) library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  Encoder encoder;
  if (library != nullptr) {
    encoder.encode = reinterpret_cast<Encode>(::dlsym(library, "WebPEncodeRGB"));
    encoder.release = reinterpret_cast<Free>(::dlsym(library, "WebPFree"));
  }
  if (encoder.encode == nullptr || encoder.release == nullptr) {
    return Status(StatusCode::failed_precondition,
                  "cannot make a film: libwebp is not installed (apt-get install libwebp7)");
  }
  return encoder;
}

void put(std::string& bytes, std::uint32_t value, int count) {
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xffU);
}

/// A chunk of a RIFF file, which has an even length.
void put_chunk(std::string& bytes, std::string_view name, std::string_view content) {
  bytes += name;
  put(bytes, static_cast<std::uint32_t>(content.size()), 4);
  bytes += content;
  if (content.size() % 2 != 0) bytes += '\0';
}

}  // namespace

struct WebpAnimation::Parts {
  Encoder encoder;
  int width = 0, height = 0, pictures = 0;
  std::string frames;
};

WebpAnimation::WebpAnimation(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
WebpAnimation::WebpAnimation(WebpAnimation&&) noexcept = default;
WebpAnimation::~WebpAnimation() = default;

Result<WebpAnimation> WebpAnimation::create(int width, int height) {
  static const Result<Encoder> encoder = load_encoder();
  if (!encoder) return encoder.status();
  auto parts = std::make_unique<Parts>();
  parts->encoder = *encoder;
  parts->width = width;
  parts->height = height;
  return WebpAnimation(std::move(parts));
}

int WebpAnimation::pictures() const noexcept {
  return parts_->pictures;
}

Status WebpAnimation::add(const std::vector<std::uint8_t>& pixels, int milliseconds) {
  Parts& parts = *parts_;
  std::uint8_t* coded = nullptr;
  const std::size_t size =
      parts.encoder.encode(pixels.data(), parts.width, parts.height, 3 * parts.width, kQuality, &coded);
  if (size <= kRiffHeader) return {StatusCode::failed_precondition, "libwebp could not encode a picture"};
  // What a film holds of a single picture is the chunk inside its file.
  const std::string_view picture(reinterpret_cast<const char*>(coded) + kRiffHeader, size - kRiffHeader);
  std::string frame;
  put(frame, 0, 3);  // left
  put(frame, 0, 3);  // top
  put(frame, static_cast<std::uint32_t>(parts.width - 1), 3);
  put(frame, static_cast<std::uint32_t>(parts.height - 1), 3);
  put(frame, static_cast<std::uint32_t>(milliseconds), 3);
  put(frame, kDoNotBlend, 1);
  frame += picture;
  parts.encoder.release(coded);
  put_chunk(parts.frames, "ANMF", frame);
  ++parts.pictures;
  return {};
}

std::string WebpAnimation::finish() const {
  std::string about;
  put(about, kAnimationFlag, 4);
  put(about, static_cast<std::uint32_t>(parts_->width - 1), 3);
  put(about, static_cast<std::uint32_t>(parts_->height - 1), 3);
  std::string animation;
  put(animation, 0xffffffffU, 4);  // what is around pictures: white
  put(animation, 0, 2);            // repeated for ever
  std::string content = "WEBP";
  put_chunk(content, "VP8X", about);
  put_chunk(content, "ANIM", animation);
  content += parts_->frames;
  std::string file = "RIFF";
  put(file, static_cast<std::uint32_t>(content.size()), 4);
  return file + content;
}

}  // namespace gradstab::lab::rl
