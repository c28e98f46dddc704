// Whatever bytes a picture or a table of pictures has: it is read or refused in our own words, a region of a
// PNG is that of the whole, and nothing else happens. Of a damaged JPEG a region may differ.
//
// Input: one byte chooses what is read, four the region, the rest is the file.
#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "input.hpp"
#include "lab/vision/cifar.hpp"
#include "lab/vision/geometry.hpp"
#include "lab/vision/idx.hpp"
#include "lab/vision/picture_formats.hpp"
#include "lab/vision/read_picture.hpp"

namespace gradstab::fuzz {
namespace {

using namespace gradstab::lab::vision;

/// Small enough for the limits of time and memory of tools/fuzz.sh.
constexpr std::int64_t kPixels = 1 << 16;

using Corners = std::array<std::uint8_t, 4>;

void expect_our_words(const Status& status) {
  if (!status.ok()) GRADSTAB_FUZZ_CHECK(!status.message().empty(), "an error says nothing");
}

Rectangle region_of(const Corners& corners, Size size) {
  const int left = corners[0] * size.width / 256, top = corners[1] * size.height / 256;
  return {left, top, 1 + corners[2] * (size.width - left - 1) / 255,
          1 + corners[3] * (size.height - top - 1) / 255};
}

void try_picture(const std::string& bytes, const Corners& corners) {
  ReadBuffers buffers;
  Picture all, part, expected;
  const Status status = read_picture(bytes, whole, buffers, all, kPixels);
  expect_our_words(status);
  Rectangle region;
  const Status of_part = read_picture(
      bytes, [&](Size size) { return region = region_of(corners, size); }, buffers, part, kPixels);
  expect_our_words(of_part);
  if (!status.ok() || !of_part.ok()) return;
  GRADSTAB_FUZZ_CHECK(all.channels == 3 && all.width > 0 && all.height > 0, "a picture of nothing");
  cut(all, region.left, region.top, {region.width, region.height}, expected);
  GRADSTAB_FUZZ_CHECK(part.size() == expected.size(), "a region of another size");
  GRADSTAB_FUZZ_CHECK(!is_png(bytes) || part.pixels == expected.pixels, "a region of other pixels");
}

void check_set(const PackedPictures& set) {
  GRADSTAB_FUZZ_CHECK(!set.pixels.empty() && set.pixels.size() % set.picture_bytes() == 0,
                      "no whole number of pictures");
}

void try_idx(const std::string& bytes, const Corners&) {
  const auto pictures = parse_idx_pictures(bytes, "x");
  expect_our_words(pictures.status());
  if (pictures) check_set(*pictures);
  const auto labels = parse_idx_labels(bytes, "x");
  expect_our_words(labels.status());
  GRADSTAB_FUZZ_CHECK(!labels || !labels->empty(), "labels of nothing");
}

void try_cifar(const std::string& bytes, const Corners& corners) {
  PackedPictures set;
  const Status status = append_cifar(bytes, "x", 1 + corners[0] % 2, set);
  expect_our_words(status);
  if (status.ok()) check_set(set);
}

constexpr void (*kReaders[])(const std::string&, const Corners&) = {try_picture, try_idx, try_cifar};

}  // namespace
}  // namespace gradstab::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  gradstab::fuzz::Input input(data, size);
  const auto reader = input.pick(gradstab::fuzz::kReaders);
  auto rest = input.rest();
  gradstab::fuzz::Corners corners{};
  if (rest.size() < corners.size()) return 0;
  std::memcpy(corners.data(), rest.data(), corners.size());
  rest = rest.subspan(corners.size());
  reader(std::string(reinterpret_cast<const char*>(rest.data()), rest.size()), corners);
  return 0;
}
