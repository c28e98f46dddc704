#include "cli/program.hpp"

#include <exception>
#include <string>

#include "cli/terminal.hpp"
#include "gradstab/version.hpp"

namespace gradstab::cli {
namespace {

/// "train, sweep or report".
std::string names_of_verbs(CLI::App& app) {
  const auto verbs = app.get_subcommands([](const CLI::App*) { return true; });
  std::string names;
  for (std::size_t i = 0; i < verbs.size(); ++i) {
    if (i > 0) names += i + 1 < verbs.size() ? ", " : " or ";
    names += verbs[i]->get_name();
  }
  return names;
}

}  // namespace

int run_program(int argc, char** argv, const std::function<void(CLI::App&, Action&)>& add_verbs) {
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
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
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

}  // namespace gradstab::cli
