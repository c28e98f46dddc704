#include "lab/vision/vision_data_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace gradstab::lab::vision {
namespace {

constexpr Part kParts[] = {Part::training, Part::validation, Part::test};
/// Pictures that are named one by one.
constexpr std::size_t kMostNamed = 5;
constexpr std::size_t kMostClasses = 20;

struct Found {
  Size smallest{std::numeric_limits<int>::max(), std::numeric_limits<int>::max()};
  Size largest;
  std::vector<std::pair<std::int64_t, std::string>> unreadable;  // in any order

  void add(Size size) {
    smallest = {std::min(smallest.width, size.width), std::min(smallest.height, size.height)};
    largest = {std::max(largest.width, size.width), std::max(largest.height, size.height)};
  }
};

/// With all cores; `progress` is told how many of the part are done.
Found read_all(const PictureSource& source, Part part, const std::function<void(std::int64_t)>& progress) {
  Found found;
  std::mutex mutex;
  std::atomic<std::int64_t> next{0};
  const std::int64_t count = source.size(part);
  const auto work = [&] {
    ReadBuffers buffers;
    Picture picture;
    Found mine;
    for (std::int64_t i = next++; i < count; i = next++) {
      Size size;
      const auto all = [&](Size of_picture) {
        size = of_picture;
        return whole(of_picture);
      };
      if (const Status read = source.read(part, i, all, buffers, picture); read.ok())
        mine.add(size);
      else
        mine.unreadable.emplace_back(i, read.message());
    }
    const std::lock_guard lock(mutex);
    if (mine.largest.width > 0) {  // a thread may have come too late to read any
      found.add(mine.smallest);
      found.add(mine.largest);
    }
    found.unreadable.insert(found.unreadable.end(), mine.unreadable.begin(), mine.unreadable.end());
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) threads.emplace_back(work);
  while (next < count) {
    progress(std::min<std::int64_t>(next, count));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  threads.clear();
  std::ranges::sort(found.unreadable);
  return found;
}

std::string classes_text(const PictureSource& source) {
  const auto& classes = source.info().classes;
  std::vector<std::int64_t> counts(classes.size(), 0);
  for (std::int64_t i = 0; i < source.size(Part::training); ++i)
    ++counts[static_cast<std::size_t>(source.label(Part::training, i))];
  std::string text = fmt::format("{}: ", classes.size());
  for (std::size_t i = 0; i < std::min(classes.size(), kMostClasses); ++i)
    text += fmt::format("{}{} ({})", i == 0 ? "" : ", ", classes[i], counts[i]);
  if (classes.size() > kMostClasses) text += fmt::format(" and {} more", classes.size() - kMostClasses);
  return text;
}

}  // namespace

DataReport vision_data_report(const PictureSource& source, const PreparationProgress& on_progress) {
  const SourceInfo& info = source.info();
  DataReport report = {{"data", info.path.empty() ? info.name : fmt::format("{} ({})", info.path, info.name)},
                       {"classes", classes_text(source)}};
  Found all;
  std::int64_t unreadable = 0;
  for (const Part part : kParts) {
    if (part == Part::validation && info.validation_is_test) {
      report.emplace_back(to_string(part), "the test part");
      continue;
    }
    const std::int64_t count = source.size(part);
    const Found found = read_all(source, part, [&](std::int64_t done) {
      if (on_progress)
        on_progress(fmt::format("reading the {} part", to_string(part)),
                    static_cast<double>(done) / static_cast<double>(std::max<std::int64_t>(count, 1)));
    });
    std::string text = fmt::format("{} pictures", count);
    if (!found.unreadable.empty()) {
      text += fmt::format(", of which {} cannot be read", found.unreadable.size());
      for (std::size_t i = 0; i < std::min(found.unreadable.size(), kMostNamed); ++i)
        text += fmt::format("; {}", found.unreadable[i].second);
    }
    unreadable += static_cast<std::int64_t>(found.unreadable.size());
    report.emplace_back(to_string(part), text);
    if (found.largest.width > 0) {
      all.add(found.smallest);
      all.add(found.largest);
    }
  }
  const std::string colours = info.channels == 1 ? "grey" : "in colour";
  if (all.largest.width == 0)
    report.emplace_back("pixels", "no picture can be read");
  else if (all.smallest == all.largest)
    report.emplace_back("pixels", fmt::format("{} x {}, {}", all.largest.width, all.largest.height, colours));
  else
    report.emplace_back("pixels",
                        fmt::format("widths from {} to {}, heights from {} to {}, {}", all.smallest.width,
                                    all.largest.width, all.smallest.height, all.largest.height, colours));
  if (unreadable > 0)
    report.emplace_back("left out",
                        fmt::format("{} that cannot be read; with --strict it is an error", unreadable));
  for (const std::string& note : info.notes) report.emplace_back("note", note);
  report.emplace_back("sha256", fmt::format("{} of {}", info.sha256, info.sha256_of));
  return report;
}

}  // namespace gradstab::lab::vision
