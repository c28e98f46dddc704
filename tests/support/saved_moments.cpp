#include "support/saved_moments.hpp"

#include <numeric>
#include <stdexcept>

#include "core/norm_moments_state.hpp"
#include "core/segments.hpp"
#include "core/state_codec.hpp"

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
  bool per_row = false;
  for (std::uint32_t i = 0; i < settings; ++i) {
    reader.get_string();
    if (reader.get<std::uint8_t>() == 0) {
      reader.get<double>();
    } else {
      per_row = reader.get_string() == "row" || per_row;
    }
  }
  std::vector<NormMoments> moments;
  const std::size_t count = per_row ? std::accumulate(rows.begin(), rows.end(), std::size_t{0}) : rows.size();
  while (moments.size() < count) moments.push_back(load_moments(reader).value());
  if (!reader.ok() || reader.remaining() != 0) throw std::logic_error("the state does not end with moments");
  return moments;
}

}  // namespace gradstab::testing
