// What there is to be followed below a path.
#pragma once

#include <compare>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <vector>

namespace gradstab::lab::watch {

/// Folders inside of folders that are looked into.
inline constexpr int kDeepestFolder = 4;
/// More are not followed.
inline constexpr std::size_t kMostFollowed = 10'000;

struct Found {
  enum class Kind {
    run,  ///< a folder with a run.json
    log,  ///< what open_traces of lab/inspect reads: a folder with logs, or a single one
  };
  Kind kind = Kind::run;
  std::filesystem::path path;
  auto operator<=>(const Found&) const = default;
};

/// The runs and logs that `root` is or holds, by their paths. `is_known` tells of those that were found
/// before, which are not looked at again and are not among the result. A run's folder is not looked into.
std::vector<Found> find_followed(const std::filesystem::path& root,
                                 const std::function<bool(const Found&)>& is_known);

}  // namespace gradstab::lab::watch
