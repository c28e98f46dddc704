// Everything that is followed below a folder, and the page that shows it. Knows nothing of HTTP.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/page/page_shell.hpp"
#include "lab/watch/followed_log.hpp"
#include "lab/watch/followed_run.hpp"

namespace gradstab::lab::watch {

/// Runs on one page. Of more, those whose last lines are the newest are shown.
inline constexpr std::size_t kMostShown = 24;
/// Runs on one page that somebody has chosen.
inline constexpr std::size_t kMostChosen = 100;
/// Logs on one page.
inline constexpr std::size_t kMostLogs = 4;

/// What a page is to show. Runs and logs are told by their numbers in the list.
struct Choice {
  enum class What {
    newest,   ///< the run or log with the newest line, and what is like it
    like,     ///< the first of the numbers, and what is like it, also what is still to come
    these,    ///< these numbers
    inspect,  ///< this run, as `gradstab inspect` sees it
  };
  What what = What::newest;
  std::vector<std::size_t> numbers;

  /// "/?show=1,2", as an address; `page` is "/" or "/events".
  std::string address(std::string_view page) const;
};

/// The choice behind an address: the value of `show`, `like` or `inspect`. Nothing for what is none.
std::optional<Choice> read_choice(std::string_view key, std::string_view value);

/// One page that is open somewhere: what was made for it, and what its reader was told.
struct View {
  explicit View(Choice chosen) : choice(std::move(chosen)) {}

  Choice choice;
  PageContent content;
  nlohmann::json parts;  ///< HTML by name: what can be replaced in the open page
  std::string page;      ///< another one means that the page must be loaded anew

  // What it was made of, and what was told of it.
  std::uint64_t changes = 0;
  std::string made_of;
  bool has_new_data = false;
  nlohmann::json told_parts, told_data;
};

/// How often files are looked at.
struct Pace {
  std::chrono::milliseconds look = std::chrono::seconds(1);    ///< at those that are known
  std::chrono::milliseconds search = std::chrono::seconds(2);  ///< for new ones
  int patience = 100;  ///< looking takes at most one part in so many of the time
};

/// May be used by several threads at a time.
class Watch {
 public:
  /// Errors: there is no such folder or file.
  static Result<std::unique_ptr<Watch>> open(const std::filesystem::path& path, const Pace& pace = {});

  /// Whether there are such runs and logs.
  bool has(const Choice& choice);

  /// The whole page. Looks at the files, as often as the pace says, and reads what is new, for half a second
  /// at most: the rest of a long run follows with the messages.
  std::string page(Choice choice);

  /// What has changed since the last message for this view, the first time everything; nothing where nothing
  /// has. `{"page": ..., "parts": ..., "data": ...}`, the last two as difference.hpp says, where they differ.
  std::optional<nlohmann::json> message(View& view);

  std::size_t followed();

 private:
  struct Followed {
    std::string name;
    std::unique_ptr<FollowedRun> run;  // or, where there is none, a log alone
    std::unique_ptr<FollowedLog> log;  // of a run: as inspect sees it, where somebody asked
    std::uint64_t revision = 0;        // counts the changes
    Clock::time_point last_shown{};
    const Standing& standing() const { return run ? run->standing() : log->standing(); }
  };

  Watch(std::filesystem::path root, const Pace& pace) : root_(std::move(root)), pace_(pace) {}
  void look();
  void note_change(Followed& followed);
  void find_new();
  void forget_unused();
  std::vector<std::size_t> numbers_of(Choice& choice) const;
  std::vector<std::size_t> like(std::size_t number) const;
  std::optional<std::size_t> newest() const;
  bool are_alike(std::size_t a, std::size_t b) const;
  bool update(View& view);
  PageContent content_of(const View& view, const std::vector<std::size_t>& numbers) const;
  void make_content(View& view, const std::vector<std::size_t>& numbers);
  std::string row(std::size_t number) const;
  std::string counts() const;

  const std::filesystem::path root_;
  const Pace pace_;
  std::mutex mutex_;
  std::vector<Followed> followed_;
  std::vector<std::string> rows_;                 // HTML, by number
  std::vector<std::uint64_t> revisions_of_rows_;  // for which they were made
  std::uint64_t changes_ = 1;                     // counts those of everything
  Clock::time_point next_look_{}, next_search_{};
};

}  // namespace gradstab::lab::watch
