#include "support/saved_state.hpp"

#include <stdexcept>

#include "core/base/state_codec.hpp"

namespace gradstab::testing {

SavedState::SavedState(const GradientTransform& transform) {
  const std::vector<std::byte> state = transform.save().value();
  ByteReader reader(unwrap_state(state).value());
  reader.get<std::int64_t>();  // updates
  const auto parameters = reader.get<std::uint64_t>();
  for (std::uint64_t i = 0; i < parameters; ++i) {
    reader.get_string();
    reader.get_bytes(reader.get<std::uint32_t>() * sizeof(std::int64_t));
  }
  if (reader.get<std::uint32_t>() != 1) throw std::logic_error("SavedState reads transforms of one method");
  reader.get_string();
  const auto settings = reader.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < settings; ++i) {
    reader.get_string();
    if (reader.get<std::uint8_t>() == 0) {
      reader.get<double>();
    } else {
      reader.get_string();
    }
  }
  const auto rest = reader.get_bytes(reader.remaining());
  if (!reader.ok()) throw std::logic_error("the state ends before that of the method");
  bytes_.assign(rest.begin(), rest.end());
}

const std::byte* SavedState::take(std::size_t count) {
  if (count > remaining()) throw std::logic_error("the state of the method ends here");
  position_ += count;
  return bytes_.data() + position_ - count;
}

}  // namespace gradstab::testing
