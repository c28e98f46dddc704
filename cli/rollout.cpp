// gradstab rollout
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"
#include "cli/values.hpp"
#include "lab/page/markup.hpp"
#include "lab/page/page_shell.hpp"
#include "lab/page/poses.hpp"
#include "lab/rl/environments/mujoco_module.hpp"
#include "lab/rl/policy.hpp"
#include "lab/rl/view/film.hpp"
#include "lab/rl/view/policy_episode.hpp"
#include "lab/rl/view/pose_recording.hpp"
#include "lab/rl/view/recorded_rollouts.hpp"
#include "lab/support/files.hpp"
#include "lab/support/gzip.hpp"

namespace gradstab::cli {
namespace {

namespace fs = std::filesystem;
namespace rl = lab::rl;

struct RolloutArguments {
  std::string environment, input, output, model;
  std::vector<std::string> checkpoints;
  std::string video, html;
  std::int64_t episodes = 1;
  std::uint64_t seed = 0;
  bool sample = false;
  int width = 480, height = 360;
  bool force = false;
};

int exit_code_after(const Status& status) {
  return status.ok() ? kExitOk : exit_code_for(status);
}

/// Another version of MuJoCo is right too, but gives other numbers.
void mention_other_version() {
  const auto module = rl::mujoco_module();
  if (!module || (*module)->version() == rl::kRecordedMujoco) return;
  print_warning(fmt::format(
      "this is MuJoCo {}; the environments were checked against {}, and this version gives other numbers",
      (*module)->version(), rl::kRecordedMujoco));
}

/// Before anything is computed that could then not be kept.
Status check_output(const std::string& path, const char* flag, bool force) {
  std::error_code ignored;
  const fs::path folder = fs::absolute(path, ignored).parent_path();
  if (!fs::is_directory(folder, ignored)) {
    return {StatusCode::io_error,
            fmt::format("{} '{}' cannot be written: there is no folder '{}'", flag, path, folder.string())};
  }
  return check_not_there(path, flag, force);
}

int replay_file(const RolloutArguments& arguments) {
  if (const Status free = check_output(arguments.output, "--output", arguments.force); !free.ok())
    return exit_code_for(free);
  rl::ReplayRequest request{.environment = arguments.environment, .model = {}, .model_name = arguments.model};
  if (!arguments.model.empty()) {
    auto model = lab::read_file(arguments.model, lab::kModelFile);
    if (!model) return exit_code_for(model.status());
    if (model->empty())
      return exit_code_for(
          {StatusCode::corrupt_data, fmt::format("'{}' is empty, expected a model", arguments.model)});
    request.model = std::move(*model);
  }
  auto packed = lab::read_file(arguments.input, lab::kRolloutFile);
  if (!packed) return exit_code_for(packed.status());
  const auto text = lab::unpacked(std::move(*packed), lab::kRolloutFile.max_bytes);
  if (!text)
    return exit_code_for(
        {text.status().code(), fmt::format("'{}': {}", arguments.input, text.status().message())});
  const auto recording = lab::parse_json_object(*text, fmt::format("'{}'", arguments.input));
  if (!recording) return exit_code_for(recording.status());
  const auto replayed = rl::replay_rollouts(*recording, request);
  if (!replayed) {
    return exit_code_for(
        {replayed.status().code(), fmt::format("'{}': {}", arguments.input, replayed.status().message())});
  }
  mention_other_version();
  return exit_code_after(lab::write_file_atomically(arguments.output, *replayed));
}

/// A policy and its label.
struct Actor {
  std::string name;
  rl::Policy policy;
};

Result<std::vector<Actor>> read_actors(const RolloutArguments& arguments) {
  std::vector<Actor> actors;
  for (const std::string& path : arguments.checkpoints) {
    auto policy = rl::read_policy(path);
    if (!policy) return policy.status();
    // A checkpoint's own name says nothing; its run's does.
    const fs::path run = fs::absolute(path).lexically_normal().parent_path().filename();
    actors.push_back({run.string(), std::move(*policy)});
    std::string expected = actors.front().policy.environment;
    if (!arguments.environment.empty()) {
      auto name = rl::environment_name(arguments.environment);
      if (!name) return name.status();
      expected = std::move(*name);
    }
    if (actors.back().policy.environment != expected) {
      return Status(StatusCode::invalid_argument,
                    fmt::format("'{}' is a policy for {}, expected one for {}", path,
                                actors.back().policy.environment, expected));
    }
  }
  return actors;
}

std::string page_of(const lab::Poses& poses) {
  const std::string body = fmt::format(
      "<header><h1>{}</h1>\n<p class=\"lead\">What trained policies do, seen from the side; each picture "
      "follows its robot.</p>"
      "</header>\n<main>{}</main>\n<footer>Written by gradstab rollout. This page is one file and loads "
      "nothing.</footer>\n",
      lab::escape_html(poses.title), lab::poses_html(poses));
  return lab::render_page(poses.title, body, nlohmann::json::object(), "");
}

/// What is made of the first episode of each policy.
struct Shown {
  std::optional<rl::Film> film;  ///< of the first policy
  std::optional<lab::Poses> poses;
};

Status run_actor(const RolloutArguments& arguments, const Actor& actor, rl::Environment& environment,
                 Shown& shown, bool first, std::vector<std::vector<std::string>>& rows) {
  for (std::int64_t episode = 0; episode < arguments.episodes; ++episode) {
    const bool visible = episode == 0;
    std::optional<rl::PoseRecorder> recorder;
    if (visible && !arguments.html.empty()) recorder.emplace(environment);
    const auto watch = [&](std::int64_t steps) -> Status {
      if (recorder) recorder->observe(environment, steps);
      if (visible && first && shown.film) return shown.film->observe(environment, steps);
      return {};
    };
    const rl::PolicyEpisode key{.key = {arguments.seed, 0, static_cast<std::uint64_t>(episode)},
                                .sample = arguments.sample};
    const auto summary = rl::run_episode(environment, actor.policy, key, watch);
    if (!summary) return summary.status();
    rows.push_back({actor.name, std::to_string(episode), fmt::format("{:.2f}", summary->episode_return),
                    std::to_string(summary->steps), summary->terminated ? "terminated" : "time limit"});
    if (!recorder) continue;
    lab::Poses poses = recorder->finish(actor.policy.environment,
                                        fmt::format("Episode 0 of seed {}, {} actions.", arguments.seed,
                                                    arguments.sample ? "sampled" : "mean"),
                                        actor.name, summary->episode_return, summary->steps);
    if (!shown.poses)
      shown.poses = std::move(poses);
    else
      lab::join(*shown.poses, std::move(poses));  // robots of one kind can always be joined
  }
  return {};
}

int run_policies(const RolloutArguments& arguments) {
  for (const auto& [path, flag] :
       {std::pair(arguments.video, "--video"), std::pair(arguments.html, "--html")}) {
    if (path.empty()) continue;
    if (const Status free = check_output(path, flag, arguments.force); !free.ok()) return exit_code_for(free);
  }
  if (arguments.checkpoints.size() > lab::kMostPosedRollouts) {
    return exit_code_for(
        {StatusCode::invalid_argument, fmt::format("--checkpoint can be given at most {} times, got {}",
                                                   lab::kMostPosedRollouts, arguments.checkpoints.size())});
  }
  const auto actors = read_actors(arguments);
  if (!actors) return exit_code_for(actors.status());
  const auto environment = rl::make_environment(actors->front().policy.environment);
  if (!environment) return exit_code_for(environment.status());
  mention_other_version();
  Shown shown;
  if (!arguments.video.empty()) {
    auto film = rl::Film::create(actors->front().policy.environment, {arguments.width, arguments.height});
    if (!film) return exit_code_for(film.status());
    shown.film.emplace(std::move(*film));
  }
  std::vector<std::vector<std::string>> rows = {{"policy", "episode", "return", "steps", "ended by"}};
  for (const Actor& actor : *actors) {
    const bool first = &actor == &actors->front();
    if (const Status ran = run_actor(arguments, actor, **environment, shown, first, rows); !ran.ok())
      return exit_code_for(ran);
  }
  print_columns(rows);
  if (shown.film) {
    if (const Status written = lab::write_file_atomically(arguments.video, shown.film->finish());
        !written.ok())
      return exit_code_for(written);
    print("{}: {} pictures\n", arguments.video, shown.film->pictures());
  }
  if (shown.poses) return exit_code_after(lab::write_file_atomically(arguments.html, page_of(*shown.poses)));
  return kExitOk;
}

/// Which of the two the verb is asked for, or what is wrong.
Status check_arguments(const RolloutArguments& arguments) {
  const auto refuse = [](const char* message) { return Status(StatusCode::invalid_argument, message); };
  if (arguments.input.empty() && arguments.checkpoints.empty())
    return refuse("rollout needs --input FILE with --output FILE, or --checkpoint FILE");
  if (!arguments.input.empty() && !arguments.checkpoints.empty())
    return refuse("rollout takes --input or --checkpoint, not both");
  if (!arguments.input.empty() && arguments.output.empty()) return refuse("--input needs --output FILE");
  if (!arguments.input.empty() && !(arguments.video.empty() && arguments.html.empty()))
    return refuse("--video and --html need --checkpoint FILE");
  if (arguments.input.empty() && !(arguments.output.empty() && arguments.model.empty()))
    return refuse("--output and --model need --input FILE");
  return {};
}

int run_rollout(const RolloutArguments& arguments) {
  if (const Status valid = check_arguments(arguments); !valid.ok()) return exit_code_for(valid);
  if (!arguments.environment.empty()) {
    const auto name = rl::environment_name(arguments.environment);
    if (!name) return exit_code_for(name.status());
  }
  return arguments.input.empty() ? run_policies(arguments) : replay_file(arguments);
}

}  // namespace

void add_rollout(CLI::App& app, Action& action) {
  CLI::App* rollout = app.add_subcommand(
      "rollout", "run the robots of reinforcement learning: recorded actions, or a trained policy");
  auto arguments = std::make_shared<RolloutArguments>();
  rollout->add_option("--env", arguments->environment,
                      fmt::format("{} [the file's]", fmt::join(rl::environment_names(), ", ")));
  add_path(*rollout, "--input", arguments->input, "recorded roll-outs: JSON, gzip or not, see docs/rl.md");
  add_path(*rollout, "--output", arguments->output,
           "file to write: the same roll-outs as this program computes them");
  add_path(*rollout, "--model", arguments->model,
           "another model file (MJCF) of the same robot [the program's own]");
  rollout
      ->add_option("--checkpoint", arguments->checkpoints,
                   "policy that acts: checkpoint.gsck of a run; several are shown side by side")
      ->allow_extra_args(false);
  add_path(*rollout, "--video", arguments->video,
           "film to write of the first policy's first episode: a WebP animation");
  add_path(*rollout, "--html", arguments->html, "page to write that plays the first episode of each policy");
  add_value(*rollout, "--episodes", arguments->episodes, "episodes of each policy")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{100'000}));
  add_value(*rollout, "--seed", arguments->seed, "seed of the episodes' starts")->capture_default_str();
  rollout->add_flag("--sample", arguments->sample,
                    "sample actions, as in training, instead of taking their mean");
  add_value(*rollout, "--width", arguments->width, "of the film, in pixels")
      ->capture_default_str()
      ->check(CLI::Range(64, 1920));
  add_value(*rollout, "--height", arguments->height, "of the film, in pixels")
      ->capture_default_str()
      ->check(CLI::Range(64, 1080));
  rollout->add_flag("--force", arguments->force, "replace existing output files");
  rollout->footer(
      "\nExample: gradstab rollout --env Hopper-v4 --input recorded.json --output ours.json\n"
      "         gradstab rollout --checkpoint runs/cheetah/checkpoint.gsck --video cheetah.webp");
  rollout->callback([&action, arguments] { action = [arguments] { return run_rollout(*arguments); }; });
}

}  // namespace gradstab::cli
