// The items that can be reproduced: figures and tables of the paper, and experiments of our own.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/reproduce/claim.hpp"
#include "lab/reproduce/item.hpp"
#include "lab/reproduce/plot.hpp"
#include "lab/reproduce/published.hpp"

namespace gradstab::lab {

/// A figure or table of the paper (arXiv 2502.17055v4), or an experiment of our own.
struct Item {
  std::string name;           ///< "figure-1"
  std::string title;          ///< "Gradient norms and evaluation loss at a high learning rate"
  std::string says;           ///< what the paper shows, or what ours is about, in a sentence or two
  Plan (*plan)(Scale scale);  ///< see plan_of
  std::vector<Claim> (*claims)();
  Plots (*plots)();
  std::optional<PublishedTable> published = {};
};

/// The runs of an item. At the scale smoke they are thinned out: that everything works can be seen in a few.
Plan plan_of(const Item& item, Scale scale);

/// Nothing if there is no such item.
const Item* find_item(std::string_view name);

/// All of them, in the order of the paper, our own last.
const std::vector<Item>& all_items();

}  // namespace gradstab::lab
