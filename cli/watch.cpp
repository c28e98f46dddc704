// gradstab watch DIR
#include "lab/watch/watch.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "cli/commands.hpp"
#include "cli/interrupt.hpp"
#include "cli/terminal.hpp"
#include "cli/values.hpp"
#include "lab/watch/server.hpp"

namespace gradstab::cli {
namespace {

struct WatchArguments {
  std::string path;
  int port = 0;
};

int run_watch(const WatchArguments& arguments) {
  auto watch = lab::watch::Watch::open(arguments.path);
  if (!watch) return exit_code_for(watch.status());
  auto server = lab::watch::Server::start(**watch, arguments.port);
  if (!server) return exit_code_for(server.status());
  catch_interrupts();
  print("watching '{}': http://127.0.0.1:{}/\n", arguments.path, (*server)->port());
  flush_output();
  while (!interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  (*server)->stop();
  // Nothing is written anywhere, so nobody has to wait for a client that is slow.
  std::_Exit(exit_code_after_output(kExitOk));
}

}  // namespace

void add_watch(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand(
      "watch", "follow runs, sweeps and logs on a page of this machine while they are written");
  auto arguments = std::make_shared<WatchArguments>();
  add_path(*verb, "folder", arguments->path,
           "a run, a sweep, any folder with runs or logs that inspect reads, or a log")
      ->required();
  add_value(*verb, "--port", arguments->port, "of 127.0.0.1, from 0 to 65535; 0 is one that is free")
      ->capture_default_str();
  verb->footer(
      "\nIt listens on this machine alone and changes nothing in the folder. Ctrl-C ends it. See "
      "docs/watch.md.\n"
      "\nExample: gradstab watch runs");
  verb->callback([&action, arguments] { action = [arguments] { return run_watch(*arguments); }; });
}

}  // namespace gradstab::cli
