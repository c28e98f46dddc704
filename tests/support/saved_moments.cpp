#include "support/saved_moments.hpp"

#include <numeric>
#include <stdexcept>

#include "core/base/state_codec.hpp"
#include "core/methods/norm_moments_state.hpp"
#include "core/step/segments.hpp"

namespace gradstab::testing {

std::vector<NormMoments> saved_moments(const GradientTransform& transform) {
  const std::vector<std::byte> state = transform.save().value();
  ByteReader reader(unwrap_state(state).value());
  reader.get<std::int64_t>();  // updates
  std::vector<std::size_t> rows(reader.get<std::uint64_t>());
  for (std::size_t& of_tensor : rows) {
    reader.get_string();
    std::vector<std::int64_t> sizes(reader.get<std::uint32_t>());
    for (std::int64_t& size : sizes) size = reader.get<std::int64_t>();
    of_tensor = row_count(sizes);
  }
  if (reader.get<std::uint32_t>() != 1)
    throw std::logic_error("saved_moments reads transforms of one method");
  reader.get_string();
  const auto settings = reader.get<std::uint32_t>();
  std::string granularity;
  for (std::uint32_t i = 0; i < settings; ++i) {
    const bool wanted = reader.get_string() == "granularity";
    if (reader.get<std::uint8_t>() == 0) {
      reader.get<double>();
    } else {
      const std::string text = reader.get_string();
      if (wanted) granularity = text;
    }
  }
  std::size_t units = rows.size();
  if (granularity == "row") units = std::accumulate(rows.begin(), rows.end(), std::size_t{0});
  if (granularity == "model") units = 1;
  if (granularity == "group") units = reader.get<std::uint32_t>();
  std::vector<NormMoments> moments;
  while (moments.size() < units) {
    if (granularity == "group") {
      reader.get<std::uint8_t>();
      reader.get_string();
    }
    moments.push_back(load_moments(reader).value());
  }
  if (!reader.ok() || reader.remaining() != 0) throw std::logic_error("the state does not end with moments");
  return moments;
}

}  // namespace gradstab::testing
