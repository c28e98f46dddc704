#include "lab/watch/find_followed.hpp"

#include <algorithm>
#include <system_error>

#include "lab/inspect/readers/open.hpp"
#include "lab/run/run_record.hpp"

namespace gradstab::lab::watch {
namespace {

namespace fs = std::filesystem;

void add_from(const fs::path& folder, int depth, const std::function<bool(const Found&)>& is_known,
              std::vector<Found>& found) {
  if (found.size() >= kMostFollowed || is_known({Found::Kind::run, folder})) return;
  std::error_code ignored;
  if (fs::exists(folder / kDescriptionName, ignored)) {
    found.push_back({Found::Kind::run, folder});
    return;
  }
  const Found log = {Found::Kind::log, folder};
  if (!is_known(log) && !inspect::logs_named_in(folder).empty()) found.push_back(log);
  if (depth == 0) return;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    // What is hidden is no run: caches, repositories.
    if (entry->path().filename().string().starts_with('.')) continue;
    if (entry->is_directory(ignored)) add_from(entry->path(), depth - 1, is_known, found);
  }
}

}  // namespace

std::vector<Found> find_followed(const fs::path& root, const std::function<bool(const Found&)>& is_known) {
  std::vector<Found> found;
  std::error_code ignored;
  if (fs::is_directory(root, ignored)) {
    add_from(root, kDeepestFolder, is_known, found);
  } else if (fs::is_regular_file(root, ignored) && !is_known({Found::Kind::log, root})) {
    found.push_back({Found::Kind::log, root});
  }
  std::ranges::sort(found, {}, &Found::path);
  return found;
}

}  // namespace gradstab::lab::watch
