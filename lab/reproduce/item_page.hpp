// The page of a reproduced item: verdicts, the figure redrawn, all configurations beside the published
// numbers.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "lab/reproduce/items.hpp"
#include "lab/reproduce/judge.hpp"

namespace gradstab::lab {

/// One self-contained page, a function of its arguments alone.
std::string render_item_page(const Item& item, const Records& records,
                             const std::vector<ClaimResult>& results);

}  // namespace gradstab::lab
