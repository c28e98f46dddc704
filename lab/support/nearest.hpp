// The word that was meant.
#pragma once

#include <string>
#include <vector>

namespace gradstab::lab {

/// Of `known`, the one that takes the fewest insertions, deletions and replacements of letters to become
/// `word`; the first of several. Empty if there are none.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

}  // namespace gradstab::lab
