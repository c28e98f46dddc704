#include "support/saved_moments.hpp"

#include <stdexcept>

#include "core/norm_moments_state.hpp"
#include "core/state_codec.hpp"

namespace gradstab::testing {

std::vector<NormMoments> saved_moments(const GradientTransform& transform) {
  const std::vector<std::byte> state = transform.save().value();
  ByteReader reader(unwrap_state(state).value());
  reader.get<std::int64_t>();  // updates
  std::vector<std::ptrdiff_t> position(reader.get<std::uint64_t>());
  for (std::size_t i = 0; i < position.size(); ++i) {
    position[i] = static_cast<std::ptrdiff_t>(i);
    reader.get_string();
    const auto rank = reader.get<std::uint32_t>();
    for (std::uint32_t d = 0; d < rank; ++d) reader.get<std::int64_t>();
  }
  if (reader.get<std::uint32_t>() != 1)
    throw std::logic_error("saved_moments reads transforms of one method");
  reader.get_string();
  const auto settings = reader.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < settings; ++i) {
    reader.get_string();
    reader.get<double>();
  }
  std::vector<NormMoments> moments(position.size());
  load_moments(reader, position, moments).check();
  if (!reader.ok() || reader.remaining() != 0) throw std::logic_error("the state does not end with moments");
  return moments;
}

}  // namespace gradstab::testing
