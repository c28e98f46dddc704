// A step whose decision has failed is taken back.
#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/errors_as_values.hpp"
#include "core/base/text.hpp"
#include "core/transform/transform_impl.hpp"

namespace gradstab {

std::size_t GradientTransform::Impl::links_to_keep() const noexcept {
  const auto last =
      std::find_if(links.rbegin(), links.rend(), [](const auto& link) { return link->may_fail(); });
  return static_cast<std::size_t>(links.rend() - last);
}

Result<std::vector<std::byte>> GradientTransform::Impl::remember(std::size_t kept, IndexRange tensors) const {
  return errors_as_values([&]() -> Result<std::vector<std::byte>> {
    ByteWriter writer;
    for (std::size_t i = 0; i < kept; ++i) links[i]->save_state(writer, tensors);
    return std::move(writer).take();
  });
}

Status GradientTransform::Impl::go_back(std::size_t kept, IndexRange tensors,
                                        std::span<const std::byte> before, const Status& why) {
  std::vector<std::ptrdiff_t> position(tensors.size());
  std::iota(position.begin(), position.end(), static_cast<std::ptrdiff_t>(tensors.begin));
  std::vector<std::size_t> rows;
  std::vector<std::string> names;
  for (std::size_t t = tensors.begin; t < tensors.end; ++t) {
    rows.push_back(row_count(parameters[t].sizes));
    names.push_back(parameters[t].name);
  }
  const SavedParameters saved{position, rows, tensors.size() == parameters.size(), names};
  const bool usable = std::exchange(initialised, false);  // stays false where there is no way back
  ByteReader reader(before);
  for (std::size_t i = 0; i < kept; ++i) {
    const Status status = links[i]->load_state(reader, saved);
    if (status.ok()) continue;
    return {why.code(), detail::concat(why.message(), "; and its state could not be restored: ",
                                       status.message(), "; call init again")};
  }
  initialised = usable;
  return why;
}

}  // namespace gradstab
