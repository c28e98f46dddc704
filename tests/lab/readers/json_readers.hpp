// Every reader of JSON in the lab, each with a document that it takes.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/support/json.hpp"
#include "tests/lab/support/test_folder.hpp"

namespace gradstab::lab {

/// One reader: a document that it takes, and how it is given one.
struct Reader {
  std::string name;
  Json valid;
  std::function<Status(const TestFolder& folder, const std::string& text)> read;
  /// Values that it must refuse for some other type: members of the document that are not free to be
  /// anything. Empty: it never refuses, because it looks for one thing alone.
  std::vector<std::string> checked;
  /// What it says of a document that is none of its own, in place of naming a field.
  std::vector<std::string> says_of_foreign = {"expected a JSON object"};
};

/// Keeps the names of tests readable.
inline void PrintTo(const Reader& reader, std::ostream* out) {
  *out << reader.name;
}

std::vector<Reader> all_readers();

}  // namespace gradstab::lab
