#include "core/base/shared_memory.hpp"

#include <algorithm>
#include <numeric>

namespace gradstab {

void SharedMemory::bind(std::size_t count) {
  extents_.assign(count, {});
  by_address_.resize(count);
  std::iota(by_address_.begin(), by_address_.end(), std::size_t{0});
}

std::optional<std::pair<std::size_t, std::size_t>> SharedMemory::find() noexcept {
  const auto before = [this](std::size_t a, std::size_t b) {
    return extents_[a].address < extents_[b].address;
  };
  if (!std::is_sorted(by_address_.begin(), by_address_.end(), before)) {
    std::sort(by_address_.begin(), by_address_.end(), before);
  }
  std::optional<std::size_t> last;
  std::optional<std::size_t> last_dense;
  for (const std::size_t t : by_address_) {
    const Extent& own = extents_[t];
    if (own.address == 0) continue;
    if (last && extents_[*last].address == own.address) return std::pair(*last, t);
    const bool inside =
        last_dense && own.address < extents_[*last_dense].address + extents_[*last_dense].bytes;
    if (inside) return std::pair(*last_dense, t);
    last = t;
    if (own.bytes > 0) last_dense = t;
  }
  return {};
}

}  // namespace gradstab
