#include "cli/program.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

#include "cli/terminal.hpp"
#include "gradstab/export.hpp"
#include "lab/support/destination.hpp"
#include "lab/support/nearest.hpp"

namespace gradstab::cli {
namespace {

/// The words of which one is to follow.
std::vector<std::string> verbs_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(verb->get_name());
  return names;
}

/// "train, sweep or report".
std::string names_of_verbs(const CLI::App& app) {
  const auto verbs = verbs_of(app);
  std::string names;
  for (std::size_t i = 0; i < verbs.size(); ++i) {
    if (i > 0) names += i + 1 < verbs.size() ? ", " : " or ";
    names += verbs[i];
  }
  return names;
}

/// The verb that was chosen, down to its last word.
const CLI::App& chosen(const CLI::App& app) {
  const CLI::App* verb = &app;
  while (!verb->get_subcommands().empty()) verb = verb->get_subcommands().front();
  return *verb;
}

/// What follows an option that the verb does not have: the one of its own that was meant.
std::string suggestion(const CLI::App& app, const CLI::ExtrasError& error) {
  const std::string message = error.what();
  const std::size_t dashes = message.find("--");
  if (dashes == std::string::npos) return "";
  const std::size_t begin = dashes + 2;
  const std::string word = message.substr(begin, message.find_first_of("= ]", begin) - begin);
  std::vector<std::string> known;
  for (const CLI::Option* option : chosen(app).get_options())
    for (const std::string& name : option->get_lnames()) known.push_back(name);
  if (word.empty() || known.empty()) return "";
  return fmt::format("; did you mean --{}?", lab::nearest(word, known));
}

/// What is said of "train" and of "train forcast", which name no task.
std::string no_task(const CLI::App& verb) {
  const auto left = verb.remaining();
  if (left.empty() || left.front().starts_with('-'))
    return verb.get_name() + ": no task given; expected " + names_of_verbs(verb);
  return fmt::format("{}: there is no task '{}', only {}; did you mean {}?", verb.get_name(), left.front(),
                     names_of_verbs(verb), lab::nearest(left.front(), verbs_of(verb)));
}

/// Gives the program the three descriptors that it may have been started without. The next file that it
/// opened would have taken their place, and got what is printed. What nobody can read fails: a result that is
/// printed to a closed standard output is an error.
void open_missing_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest number that is free, which is this one.
    [[maybe_unused]] const int opened =
        open("/dev/null", descriptor == STDOUT_FILENO ? O_RDONLY : O_RDWR);  // NOLINT(*-vararg)
  }
}

int parse_and_run(int argc, char** argv, const std::function<void(CLI::App&, Action&)>& add_verbs) {
  CLI::App app("GradientStabilizer: keep the gradient's direction, stabilize its norm.", "gradstab");
  app.set_version_flag("--version", GRADSTAB_VERSION);
  app.get_formatter()->column_width(34);
  Action action;
  add_verbs(app, action);
  try {
    app.parse(argc, argv);
    if (action) return action();
    print_error("no verb given; expected " + names_of_verbs(app) + " (see gradstab --help)");
    return kExitUsage;
  } catch (const CLI::ExtrasError& error) {
    print_error(std::string(error.what()) + suggestion(app, error) + " (see gradstab --help)");
    return kExitUsage;
  } catch (const CLI::RequiredError& error) {
    const CLI::App& verb = chosen(app);
    print_error((verbs_of(verb).empty() ? error.what() : no_task(verb)) + " (see gradstab --help)");
    return kExitUsage;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      std::ostringstream text;
      const int code = app.exit(error, text, text);
      print_raw(text.str());
      return code;
    }
    print_error(std::string(error.what()) + " (see gradstab --help)");
    return kExitUsage;
  } catch (const gradstab::Error& error) {
    return exit_code_for({error.code(), error.what()});
  } catch (const std::exception& error) {
    const std::string text = error.what();
    print_error(text.substr(0, text.find('\n')));
    return kExitFailure;
  }
}

}  // namespace

CLI::Option* add_path(CLI::App& verb, const std::string& flag, std::string& path, const std::string& help) {
  return verb.add_option(flag, path, help)->check([](const std::string& value) {
    return value.empty() ? std::string("expects the name of a file or a folder, got ''") : std::string();
  });
}

Status check_not_there(const std::filesystem::path& file, const std::string& flag, bool force) {
  const auto destination = lab::destination_of(file);
  if (!destination) return destination.status();
  const bool in_the_way =
      destination->exists && (!destination->in_place() || std::filesystem::is_directory(destination->path));
  if (force || !in_the_way) return {};
  return {
      StatusCode::io_error,
      fmt::format("'{}' already exists; choose another {}, or replace it with --force", file.string(), flag)};
}

int run_program(int argc, char** argv, const std::function<void(CLI::App&, Action&)>& add_verbs) {
  open_missing_descriptors();
  // A file that outgrows its limit is an error of that write, and not the end of the program.
  std::signal(SIGXFSZ, SIG_IGN);
  return exit_code_after_output(parse_and_run(argc, argv, add_verbs));
}

}  // namespace gradstab::cli
