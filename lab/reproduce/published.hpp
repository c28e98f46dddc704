// The paper's own numbers, to stand beside ours.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "lab/reproduce/item.hpp"

namespace gradstab::lab {

/// Numbers copied as figures from the paper (arXiv 2502.17055v4).
struct PublishedTable {
  struct Column {
    Settings context;  ///< coordinates of the context that it belongs to
    std::vector<std::pair<std::string, std::vector<double>>> rows;  ///< name of an arm, a value per model
  };
  std::string quantity;             ///< "perplexity"
  std::string source;               ///< "Table 1"
  std::vector<std::string> models;  ///< "130M"
  std::vector<Column> columns;

  /// The values of an arm in a context, one per model; empty if there are none.
  std::vector<double> find(const Settings& context, const std::string& arm) const;
};

PublishedTable published_table_1();
PublishedTable published_table_4();
PublishedTable published_table_2();
PublishedTable published_table_3();
PublishedTable published_table_9();

}  // namespace gradstab::lab
