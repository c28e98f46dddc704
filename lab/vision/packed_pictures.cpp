#include "lab/vision/packed_pictures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "lab/vision/part_order.hpp"

namespace gradstab::lab::vision {
namespace {

class PackedSource final : public PictureSource {
 public:
  PackedSource(SourceInfo info, PartOrder order, PackedPictures training, PackedPictures test)
      : info_(std::move(info)), order_(order), training_(std::move(training)), test_(std::move(test)) {}

  const SourceInfo& info() const noexcept override { return info_; }
  int label(Part part, std::int64_t index) const noexcept override {
    const PartOrder::Place place = order_.place(part, index);
    return set(place).labels[static_cast<std::size_t>(place.number)];
  }
  std::string describe(Part part, std::int64_t index) const override {
    const PartOrder::Place place = order_.place(part, index);
    return fmt::format("picture {} of {}", place.number, set(place).name);
  }
  Status read(Part part, std::int64_t index, const RegionChooser& choose, ReadBuffers&,
              Picture& picture) const override {
    const PartOrder::Place place = order_.place(part, index);
    const PackedPictures& pictures = set(place);
    const Rectangle region = choose(pictures.size);
    picture.reshape(region.width, region.height, pictures.channels);
    const std::uint8_t* const first =
        pictures.pixels.data() + static_cast<std::size_t>(place.number) * pictures.picture_bytes();
    for (int y = 0; y < region.height; ++y)
      std::memcpy(picture.row(y),
                  first + ((region.top + y) * pictures.size.width + region.left) * pictures.channels,
                  picture.row_bytes());
    return {};
  }

 private:
  const PackedPictures& set(const PartOrder::Place& place) const noexcept {
    return place.set == Part::training ? training_ : test_;
  }

  SourceInfo info_;
  PartOrder order_;
  PackedPictures training_, test_;
};

/// Whose numbers are exact: sums of bytes in 64 bits.
void measure_channels(const PackedPictures& training, const PartOrder& order, SourceInfo& info) {
  const auto channels = static_cast<std::size_t>(training.channels);
  std::vector<std::uint64_t> sums(channels), squares(channels);
  const std::int64_t count = order.sizes()[static_cast<std::size_t>(Part::training)];
  for (std::int64_t i = 0; i < count; ++i) {
    const std::size_t number = static_cast<std::size_t>(order.place(Part::training, i).number);
    const std::uint8_t* const pixels = training.pixels.data() + number * training.picture_bytes();
    for (std::size_t c = 0; c < channels; ++c) {
      std::uint64_t sum = 0, square = 0;
      for (std::size_t k = c; k < training.picture_bytes(); k += channels) {
        const std::uint64_t value = pixels[k];
        sum += value;
        square += value * value;
      }
      sums[c] += sum;
      squares[c] += square;
    }
  }
  const double values = static_cast<double>(count) * training.size.width * training.size.height;
  info.mean.reserve(channels);
  info.deviation.reserve(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = static_cast<double>(sums[c]) / values;
    const double variance = static_cast<double>(squares[c]) / values - mean * mean;
    info.mean.push_back(mean / 255);
    info.deviation.push_back(std::sqrt(std::max(variance, 0.0)) / 255);
  }
}

Status check_labels(const PackedPictures& set, std::size_t classes) {
  const auto found = std::ranges::find_if(set.labels, [&](std::uint8_t label) { return label >= classes; });
  if (found == set.labels.end()) return {};
  return {StatusCode::corrupt_data, fmt::format("{}: the label of picture {} is {}, expected one of 0 to {}",
                                                set.labels_name.empty() ? set.name : set.labels_name,
                                                found - set.labels.begin(), *found, classes - 1)};
}

}  // namespace

Result<std::shared_ptr<const PictureSource>> make_packed_source(SourceInfo info, PackedPictures training,
                                                                PackedPictures test,
                                                                std::int64_t validation) {
  if (test.size != training.size || test.channels != training.channels)
    return Status(StatusCode::corrupt_data,
                  fmt::format("{} has pictures of {}x{}, and {} of {}x{}", training.name, training.size.width,
                              training.size.height, test.name, test.size.width, test.size.height));
  for (const PackedPictures* set : {&training, &test})
    GRADSTAB_RETURN_IF_ERROR(check_labels(*set, info.classes.size()));
  const auto order = PartOrder::divide({training.count(), 0, test.count()}, validation);
  if (!order)
    return Status(order.status().code(), fmt::format("'{}': {}", info.path, order.status().message()));
  info.channels = training.channels;
  info.size = training.size;
  info.pictures = order->sizes();
  info.validation_is_test = order->validation_is_test();
  for (std::size_t label = 0; label < info.classes.size(); ++label)
    if (std::ranges::count(training.labels, label) == 0)
      info.notes.push_back(
          fmt::format("No training picture has the label {} ({}).", label, info.classes[label]));
  measure_channels(training, *order, info);
  return std::shared_ptr<const PictureSource>(
      std::make_shared<PackedSource>(std::move(info), *order, std::move(training), std::move(test)));
}

}  // namespace gradstab::lab::vision
