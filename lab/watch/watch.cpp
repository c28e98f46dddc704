#include "lab/watch/watch.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <functional>
#include <set>
#include <system_error>
#include <utility>

#include "lab/page/downsample.hpp"
#include "lab/page/markup.hpp"
#include "lab/report/report.hpp"
#include "lab/watch/assets.hpp"
#include "lab/watch/difference.hpp"
#include "lab/watch/find_followed.hpp"

namespace gradstab::lab::watch {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kMostReading = milliseconds(500);
/// Points that nobody has looked at for so long are forgotten.
constexpr auto kForgetAfter = seconds(60);

// Points of a line: as in a report, and fewer where there are many lines.
constexpr std::size_t kPointsOfAll = 12'000;
constexpr std::size_t kFewestOfALine = 200;

std::int64_t nanoseconds_since_1970() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string_view key_of(Choice::What what) {
  switch (what) {
    case Choice::What::newest:
      return "";
    case Choice::What::like:
      return "like";
    case Choice::What::these:
      return "show";
    case Choice::What::inspect:
      return "inspect";
  }
  return "";
}

/// Where nothing is followed yet.
PageContent nothing_yet(const fs::path& root) {
  PageContent content;
  content.title = "gradstab watch";
  content.layout =
      "<header>\n<h1>{{title}}</h1>\n<p class=\"lead\">{{lead}}</p>\n</header>\n<footer>{{footer}}</footer>";
  content.texts = {
      {"title", "Nothing to show yet"},
      {"lead", fmt::format("There is no run in {}, and no log that <code>gradstab inspect</code> reads. What "
                           "comes is shown.",
                           escape_html(root.string()))}};
  content.data = json::object();
  return content;
}

/// Where those that were chosen cannot be shown.
PageContent not_shown(std::string_view why) {
  PageContent content;
  content.layout =
      "<header>\n<h1>{{title}}</h1>\n<p class=\"lead\" "
      "data-part=\"lead\">{{lead}}</p>\n</header>\n<footer>{{footer}}</footer>";
  content.texts = {{"title", "Nothing to show yet"}, {"lead", escape_html(why)}};
  content.data = json::object();
  return content;
}

std::string table_cell(std::string_view shown) {
  return fmt::format("<td>{}</td>", shown);
}

/// A moment as text; the page's script says how long ago it was.
std::string moment(std::int64_t nanoseconds) {
  if (nanoseconds == 0) return std::string(kNothing);
  const std::int64_t whole = nanoseconds / 1'000'000'000;
  return fmt::format("<time data-changed=\"{}\">{:%Y-%m-%d %H:%M:%S} UTC</time>", nanoseconds / 1'000'000,
                     fmt::gmtime(static_cast<std::time_t>(whole)));
}

}  // namespace

std::string Choice::address(std::string_view page) const {
  if (what == What::newest) return std::string(page);
  return fmt::format("{}?{}={}", page, key_of(what), fmt::join(numbers, ","));
}

std::optional<Choice> read_choice(std::string_view key, std::string_view value) {
  for (const Choice::What what : {Choice::What::like, Choice::What::these, Choice::What::inspect}) {
    if (key_of(what) != key) continue;
    Choice choice{what, {}};
    while (true) {
      const std::string_view word = value.substr(0, value.find(','));
      std::size_t number = 0;
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
      if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
      choice.numbers.push_back(number);
      if (word.size() == value.size()) break;
      value.remove_prefix(word.size() + 1);
      if (choice.numbers.size() >= kMostChosen) return std::nullopt;
    }
    if (what != Choice::What::these && choice.numbers.size() > 1) return std::nullopt;
    return choice;
  }
  return std::nullopt;
}

Result<std::unique_ptr<Watch>> Watch::open(const fs::path& path, const Pace& pace) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (!fs::exists(status))
    return Status(StatusCode::io_error, fmt::format("'{}' does not exist", path.string()));
  if (!fs::is_directory(status) && !fs::is_regular_file(status))
    return Status(StatusCode::io_error, fmt::format("'{}' is neither a folder nor a file", path.string()));
  fs::path root = path.lexically_normal();
  if (!root.has_filename() && root.has_relative_path()) root = root.parent_path();  // "runs/" is "runs"
  return std::unique_ptr<Watch>(new Watch(std::move(root), pace));
}

void Watch::note_change(Followed& followed) {
  ++followed.revision;
  ++changes_;
}

void Watch::find_new() {
  std::set<Found> known;
  for (const Followed& each : followed_) {
    const bool run = each.run != nullptr;
    known.insert({run ? Found::Kind::run : Found::Kind::log, run ? each.run->folder() : each.log->path()});
  }
  for (const Found& found : find_followed(root_, [&](const Found& each) { return known.contains(each); })) {
    if (followed_.size() >= kMostFollowed) return;
    Followed each;
    const fs::path relative = found.path.lexically_relative(root_);
    each.name = relative.empty() || relative == "."
                    ? fs::absolute(found.path).lexically_normal().filename().string()
                    : relative.string();
    if (found.kind == Found::Kind::run) {
      each.run = std::make_unique<FollowedRun>(found.path);
    } else {
      each.log = std::make_unique<FollowedLog>(found.path);
    }
    note_change(each);
    followed_.push_back(std::move(each));
  }
}

void Watch::look() {
  const auto begin = Clock::now();
  if (begin < next_look_) return;
  if (begin >= next_search_) {
    find_new();
    const auto end = Clock::now();
    next_search_ = end + std::max<Clock::duration>(pace_.search, pace_.patience * (end - begin));
  }
  const auto middle = Clock::now();
  const std::int64_t now = nanoseconds_since_1970();
  for (Followed& each : followed_) {
    const bool run_changed = each.run && each.run->look(now);
    const bool log_changed = each.log && each.log->look(now);
    if (run_changed || log_changed) note_change(each);
  }
  forget_unused();
  const auto end = Clock::now();
  next_look_ = end + std::max<Clock::duration>(pace_.look, pace_.patience * (end - middle));
}

void Watch::forget_unused() {
  const auto now = Clock::now();
  for (Followed& each : followed_) {
    if (each.last_shown == Clock::time_point() || now < each.last_shown + kForgetAfter) continue;
    each.last_shown = {};
    if (each.run) each.run->forget();
    if (each.log) each.log->forget();
  }
}

bool Watch::are_alike(std::size_t a, std::size_t b) const {
  const Followed& one = followed_[a];
  const Followed& other = followed_[b];
  if (!one.run || !other.run) return !one.run && !other.run;
  return !one.run->record().measures.metrics.empty() &&
         have_same_metrics(one.run->record().measures, other.run->record().measures);
}

std::optional<std::size_t> Watch::newest() const {
  std::optional<std::size_t> found;
  // Runs before logs: a run's page is the one with more on it.
  for (const bool runs : {true, false}) {
    for (std::size_t i = 0; i < followed_.size(); ++i) {
      const Followed& each = followed_[i];
      if ((each.run != nullptr) != runs || each.standing().gone) continue;
      if (runs && each.run->record().measures.metrics.empty()) continue;  // one that cannot be read
      if (!found || each.standing().changed > followed_[*found].standing().changed) found = i;
    }
    if (found) break;
  }
  return found;
}

std::vector<std::size_t> Watch::like(std::size_t number) const {
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < followed_.size(); ++i)
    if (!followed_[i].standing().gone && are_alike(i, number)) numbers.push_back(i);
  const std::size_t most = followed_[number].run ? kMostShown : kMostLogs;
  if (numbers.size() > most) {
    std::ranges::stable_sort(numbers, std::greater(),
                             [&](std::size_t i) { return followed_[i].standing().changed; });
    numbers.resize(most);
    std::ranges::sort(numbers);
  }
  return numbers;
}

std::vector<std::size_t> Watch::numbers_of(Choice& choice) const {
  if (choice.what == Choice::What::newest) {
    const auto first = newest();
    if (!first) return {};
    choice = {Choice::What::like, {*first}};
  }
  if (choice.what == Choice::What::like) return like(choice.numbers.front());
  if (choice.what == Choice::What::inspect) return choice.numbers;
  std::vector<std::size_t> numbers;
  for (const std::size_t number : choice.numbers) {
    const bool twice = std::ranges::find(numbers, number) != numbers.end();
    if (!twice && are_alike(choice.numbers.front(), number)) numbers.push_back(number);
  }
  return numbers;
}

bool Watch::has(const Choice& choice) {
  const std::lock_guard lock(mutex_);
  look();
  return std::ranges::all_of(choice.numbers, [&](std::size_t number) { return number < followed_.size(); });
}

std::size_t Watch::followed() {
  const std::lock_guard lock(mutex_);
  look();
  return followed_.size();
}

std::string Watch::row(std::size_t number) const {
  const Followed& each = followed_[number];
  const Standing& standing = each.standing();
  std::string state;
  if (standing.gone) {
    state = "<span class=\"quiet\">gone</span>";
  } else if (each.run && !each.run->record().measures.metrics.empty()) {
    state = state_badge(each.run->state(), to_string(each.run->state()));
    if (!each.run->record().failure.empty())
      state += fmt::format("<small>{}</small>", breakable_html(each.run->record().failure));
  } else if (!each.run) {
    state = standing.fresh ? state_badge(RunState::running, "growing") : std::string("at rest");
  }
  if (!standing.trouble.empty()) state += fmt::format("<small>{}</small>", breakable_html(standing.trouble));
  if (each.run && each.last_shown != Clock::time_point() && each.run->part_read() < 1.0)
    state += fmt::format("<small>reading, {:.0f} %</small>", 100.0 * each.run->part_read());
  std::string below;
  // Charts and tables call it by its own name.
  if (each.run && !each.run->record().name.empty() &&
      each.run->record().name != each.run->folder().filename())
    below += fmt::format("<small>{}</small>", breakable_html(each.run->record().name));
  if (each.log) {
    for (const inspect::Inspected& inspected : each.log->inspected())
      below += fmt::format("<small>{}</small>", escape_html(inspected.verdict.headline));
  }
  const std::string step = standing.step == 0 && standing.steps == 0 ? std::string(kNothing)
                           : standing.steps > 0
                               ? fmt::format("{} of {}", grouped_integer(static_cast<double>(standing.step)),
                                             grouped_integer(static_cast<double>(standing.steps)))
                               : grouped_integer(static_cast<double>(standing.step));
  const std::string more = each.run ? fmt::format("<a href=\"{}\">inspect</a>",
                                                  Choice{Choice::What::inspect, {number}}.address("/"))
                                    : std::string("log");
  return fmt::format(
             "<th scope=\"row\"><label><input type=\"checkbox\" data-number=\"{}\"></label> <a "
             "href=\"{}\">{}</a>{}</th>",
             number, Choice{Choice::What::these, {number}}.address("/"), breakable_html(each.name), below) +
         table_cell(state) + table_cell(step) + table_cell(significant(standing.loss)) +
         table_cell(moment(standing.changed)) + table_cell(more);
}

std::string Watch::counts() const {
  constexpr std::array kStates = {RunState::running,          RunState::finished, RunState::interrupted,
                                  RunState::diverged,         RunState::killed,   RunState::failed,
                                  RunState::running_or_killed};
  std::array<std::size_t, kStates.size()> runs{};
  std::size_t logs = 0;
  for (const Followed& each : followed_) {
    if (each.standing().gone) continue;
    if (!each.run) {
      ++logs;
    } else if (!each.run->record().measures.metrics.empty()) {
      ++runs[static_cast<std::size_t>(std::ranges::find(kStates, each.run->state()) - kStates.begin())];
    }
  }
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < kStates.size(); ++i)
    if (runs[i] > 0) texts.push_back(fmt::format("{} {}", runs[i], to_string(kStates[i])));
  if (logs > 0) texts.push_back(fmt::format("{} {}", logs, logs == 1 ? "log" : "logs"));
  return fmt::format("{}", fmt::join(texts, ", "));
}

PageContent Watch::content_of(const View& view, const std::vector<std::size_t>& numbers) const {
  if (numbers.empty()) return nothing_yet(root_);
  const bool as_logs = view.choice.what == Choice::What::inspect || !followed_[numbers.front()].run;
  if (as_logs) {
    std::vector<inspect::Inspected> inspected;
    std::string trouble = "There is nothing in it yet.";
    for (const std::size_t number : numbers) {
      const FollowedLog& log = *followed_[number].log;
      if (!log.standing().trouble.empty()) trouble = log.standing().trouble;
      for (const inspect::Inspected& one : log.inspected()) {
        inspected.push_back(one);
        // A long path says nothing that the list does not say.
        if (const fs::path relative = fs::path(one.findings.name).lexically_relative(root_);
            !relative.empty() && relative != ".")
          inspected.back().findings.name = relative.string();
      }
    }
    return inspected.empty() ? not_shown(trouble) : inspect::inspect_content(inspected);
  }
  std::vector<RunRecord> runs;
  for (const std::size_t number : numbers) runs.push_back(followed_[number].run->record());
  ReportOptions options;
  options.title = numbers.size() == 1 ? "Training run " + runs.front().name : "Training runs compared";
  options.max_points = std::clamp(kPointsOfAll / runs.size(), kFewestOfALine, options.max_points);
  auto content = report_content(runs, options);
  return content ? *std::move(content) : not_shown(content.status().message());
}

void Watch::make_content(View& view, const std::vector<std::size_t>& numbers) {
  view.content = content_of(view, numbers);
  view.has_new_data = true;
  view.content.layout = std::string(assets::followed_html) + view.content.layout;
  Placeholders& texts = view.content.texts;
  texts["folder"] = breakable_html(root_.string());
  texts["footer"] =
      "Shown by gradstab watch, which changes nothing in what it follows. Nothing is loaded from elsewhere, "
      "and "
      "nothing leaves this machine.";
  // Whatever cannot be replaced in an open page, and which process has numbered what is followed.
  std::string fixed = fmt::format("{} {} ", ::getpid(), fmt::ptr(this)) + view.content.layout;
  const std::vector<std::string> replaceable = replaceable_parts(view.content.layout);
  for (const auto& [name, text] : texts)
    if (std::ranges::find(replaceable, name) == replaceable.end()) fixed += name + '\0' + text + '\0';
  view.page = fmt::format("{:016x}", std::hash<std::string>()(fixed));
}

bool Watch::update(View& view) {
  look();
  const auto begin = Clock::now();
  const std::vector<std::size_t> numbers = numbers_of(view.choice);
  std::string made_of;
  for (const std::size_t number : numbers) {
    Followed& each = followed_[number];
    each.last_shown = begin;
    bool changed = false;
    if (view.choice.what == Choice::What::inspect && !each.log && each.run) {
      each.log = std::make_unique<FollowedLog>(each.run->folder());
      each.log->look(nanoseconds_since_1970());
    }
    if (view.choice.what == Choice::What::inspect || !each.run) {
      changed = each.log->read(Clock::now());
    } else {
      changed = each.run->read(begin + kMostReading);
    }
    if (changed) note_change(each);
    made_of += fmt::format("{}:{} ", number, each.revision);
  }
  if (view.changes == changes_ && made_of == view.made_of) return false;
  view.changes = changes_;
  if (made_of != view.made_of || numbers.empty()) {
    view.made_of = made_of;
    make_content(view, numbers);
  }
  rows_.resize(followed_.size());
  revisions_of_rows_.resize(followed_.size(), ~std::uint64_t{0});
  view.parts = json::object();
  for (std::size_t i = 0; i < followed_.size(); ++i) {
    if (revisions_of_rows_[i] != followed_[i].revision) {
      revisions_of_rows_[i] = followed_[i].revision;
      rows_[i] = row(i);
    }
    view.parts[fmt::format("row-{}", i)] = rows_[i];
  }
  view.content.texts["counts"] = counts();
  for (const std::string& name : replaceable_parts(view.content.layout))
    view.parts[name] = view.content.texts.at(name);
  return true;
}

std::string Watch::page(Choice choice) {
  const std::lock_guard lock(mutex_);
  View view(std::move(choice));
  update(view);
  std::string rows;
  for (std::size_t i = 0; i < rows_.size(); ++i)
    rows += fmt::format("<tr data-part=\"row-{}\">{}</tr>\n", i, rows_[i]);
  view.content.texts["rows"] = std::move(rows);
  view.content.data["watch"] = {{"events", view.choice.address("/events")}, {"page", view.page}};
  view.content.script += assets::live_js;
  return render_page(view.content, LoadsFrom::its_server);
}

std::optional<json> Watch::message(View& view) {
  const std::lock_guard lock(mutex_);
  if (!update(view)) return std::nullopt;
  json message = {{"page", view.page}};
  if (auto parts = difference(view.told_parts, view.parts)) {
    message["parts"] = *std::move(parts);
    view.told_parts = std::move(view.parts);
  }
  if (std::exchange(view.has_new_data, false)) {
    if (auto data = difference(view.told_data, view.content.data)) {
      message["data"] = *std::move(data);
      view.told_data = view.content.data;
    }
  }
  if (message.size() == 1) return std::nullopt;
  return message;
}

}  // namespace gradstab::lab::watch
