// Names that are not constants, where a view of a constant is expected.
#pragma once

#include <string_view>

namespace gradstab {

/// The same text, as a view that lives as long as the library. One copy of each text is kept.
std::string_view interned(std::string_view text);

}  // namespace gradstab
