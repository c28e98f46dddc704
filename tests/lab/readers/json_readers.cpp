#include "json_readers.hpp"

#include <filesystem>
#include <fstream>
#include <string_view>

#include "lab/llm/data/corpus.hpp"
#include "lab/replay/replay.hpp"
#include "lab/reproduce/outputs.hpp"
#include "lab/reproduce/records.hpp"
#include "lab/run/run_directory.hpp"
#include "lab/run/run_record.hpp"
#include "lab/support/json.hpp"
#include "lab/sweep/sweep_directory.hpp"
#include "lab/train/resume.hpp"
#include "tests/lab/llm_options.hpp"

namespace gradstab::lab {
namespace {

namespace fs = std::filesystem;

const Json kRun = {{"format", 1},
                   {"name", "adamw"},
                   {"task", "llm"},
                   {"command", "gradstab train llm"},
                   {"settings", to_json(llm_options())},
                   {"model", {{"vocab_size", 257}}},
                   {"data", {{"train_tokens", 1000}}},
                   {"environment", {{"threads", 2}}}};
const Json kSummary = {{"format", 1},
                       {"state", "finished"},
                       {"step", 1000},
                       {"final_validation_loss", 2.5},
                       {"final_perplexity", 12.2},
                       {"best_validation_loss", nullptr},
                       {"spikes", 3},
                       {"nonfinite", 0},
                       {"diverged", false},
                       {"seconds", 61.5},
                       {"tokens_per_second", 1000.0}};
const Json kStep = {{"kind", "step"},  {"step", 1},        {"loss", 6.9},
                    {"lr", 0.006},     {"tokens", 2048},   {"tokens_per_second", 1e4},
                    {"seconds", 0.25}, {"grad_norm", 1.9}, {"stabilized_norm", 1.7},
                    {"spikes", 0},     {"nonfinite", 0}};
const Json kEval = {{"kind", "eval"}, {"step", 1}, {"loss", 5.8}, {"perplexity", 340.4}};

std::string lines(const std::vector<Json>& documents) {
  std::string text;
  for (const Json& document : documents) text += document.dump() + "\n";
  return text;
}

void write_run(const TestFolder& folder, const std::string& run, const std::string& metrics,
               const std::string& summary) {
  folder.make("run.json", run);
  folder.make("metrics.jsonl", metrics);
  folder.make("summary.json", summary);
}

TrainOptions scaled_options() {
  TrainOptions options = llm_options();
  options.precision = "fp16";
  return options;
}

Json checkpoint_header() {
  Progress progress;
  progress.step = 100;
  return {{"progress", to_json(progress, llm_kind().info())},
          {"model", {{"name", "1m"}}},
          {"settings", to_json(scaled_options())},
          {"loss_scaler", LossScaler(loss_scaler_options(scaled_options())).state()}};
}

Json record() {
  return {{"run", "short,clip,seed=0"},
          {"part", "short"},
          {"horizon", "short"},
          {"method", "clip"},
          {"context", {{"lr", "0.003"}}},
          {"seed", 0},
          {"state", "finished"},
          {"error", ""},
          {"settings", {{"lr", 0.003}}},
          {"diverged", false},
          {"final_loss", 2.1},
          {"uninformed_loss", 5.5},
          {"seconds", 12.5},
          {"weights_checksum", "0123abcd"},
          {"evaluations", {{"step", {1, 2}}, {"loss", {3.0, nullptr}}}},
          {"training_loss", {5.5, 2.5}},
          {"grad_norm", {1.5, nullptr}},
          {"stabilized_norm", {1.0, 0.5}}};
}
/// The same of format 2.
Json record_of_today() {
  Json json = record();
  json.erase("final_loss");
  json.erase("uninformed_loss");
  json["score"] = 2.1;
  json["uninformed"] = 5.5;
  json["others"] = Json::array();
  json["evaluations"] = {{"step", {1, 2}}, {"validation_loss", {3.0, nullptr}}};
  return json;
}
const Json kRecordsHeader = {{"format", 1},    {"kind", "reproduction"},        {"item", "figure-1"},
                             {"scale", "cpu"}, {"environment", {{"cpu", "x"}}}, {"data", {{"source", "y"}}}};
/// The same of format 2.
Json records_header_of_today() {
  Json json = kRecordsHeader;
  json["format"] = 2;
  json["measures"] = to_json(llm_kind().info());
  return json;
}

/// A run of format 2.
Json run_of_today() {
  Json run = kRun;
  run["format"] = 2;
  run["measures"] = to_json(llm_kind().info());
  run["measures"]["uninformed"] = 5.5;
  return run;
}
const Json kEvalOfToday = {{"kind", "eval"}, {"step", 1}, {"validation_loss", 5.8}, {"perplexity", 340.4}};

Status read_run_of(const TestFolder& folder) {
  return read_run(folder.path()).status();
}

Status read_recording(const TestFolder&, const std::string& text) {
  const auto recording = parse_json(text, "'in.json'");
  if (!recording) return recording.status();
  const auto replayed = replay(*recording, {});
  if (replayed) return Status();
  return Status(replayed.status().code(), "'in.json': " + replayed.status().message());
}

}  // namespace

std::vector<Reader> all_readers() {
  const auto report = [](const TestFolder& folder, const std::string& run, const std::string& metrics,
                         const std::string& summary) {
    write_run(folder, run, metrics, summary);
    return read_run_of(folder);
  };
  const std::vector<std::string> run_members = {"/format", "/name", "/settings",
                                                "/model",  "/data", "/environment"};
  std::vector<std::string> settings;
  const TrainOptions defaults = llm_options();
  for_each_setting(defaults, [&](const char* name, const auto&, const char*) {
    settings.push_back("/settings/" + std::string(name));
  });
  const SweepPoint point{"seed=0", {{"seed", "0"}}, {}};
  return {
      {"RunForReport", kRun,
       [=](const TestFolder& folder, const std::string& text) {
         return report(folder, text, lines({kStep}), kSummary.dump());
       },
       run_members},
      {"RunForResume", kRun,
       [](const TestFolder& folder, const std::string& text) {
         folder.make("run.json", text);
         const auto run = read_run_json(folder.path());
         if (!run) return run.status();
         return train_options_from_json(llm_kind(), JsonReader(*run, "run.json")["settings"]).status();
       },
       settings},
      {"Summary",
       kSummary,
       [=](const TestFolder& folder, const std::string& text) {
         return report(folder, kRun.dump(), lines({kStep}), text);
       },
       {"/format", "/state", "/step", "/final_validation_loss", "/spikes", "/diverged", "/seconds"}},
      {"MetricsStep",
       kStep,
       [=](const TestFolder& folder, const std::string& text) {
         return report(folder, kRun.dump(), text + "\n" + lines({kEval}), kSummary.dump());
       },
       {"/kind", "/step", "/loss", "/lr", "/tokens", "/grad_norm", "/stabilized_norm", "/nonfinite"}},
      {"MetricsEvaluation",
       kEval,
       [=](const TestFolder& folder, const std::string& text) {
         return report(folder, kRun.dump(), lines({kStep}) + text + "\n" + lines({kStep}), kSummary.dump());
       },
       {"/kind", "/step", "/loss", "/perplexity"}},
      {"MetricsForResume",
       kStep,
       [](const TestFolder& folder, const std::string& text) {
         folder.make("metrics.jsonl", text + "\n");
         auto directory = RunDirectory::open(folder.path());
         return directory ? directory->go_back_to(1, 1, 1) : directory.status();
       },
       {}},
      {"CheckpointHeader",
       checkpoint_header(),
       [](const TestFolder&, const std::string& text) {
         const auto header = parse_json_object(text, "checkpoint 'x'");
         if (!header) return header.status();
         return resumed_progress(*header, "x", scaled_options(), llm_kind().info(), {{"name", "1m"}},
                                 scaled_options().steps)
             .status();
       },
       {"/progress", "/progress/step", "/progress/seconds", "/progress/validation_loss", "/model",
        "/settings", "/settings/lr", "/loss_scaler", "/loss_scaler/scale", "/loss_scaler/growth_count"}},
      {"Recording",
       Json::parse(
           R"({"format":1,"method":"adam","cases":[{"name":"c","hyper":{"lr":0.1,"beta1":0.9},)"
           R"("tensors":[{"name":"w","shape":[2],"init":[0,0.5]}],"steps":[{"t":1,"grad":[[1,2.5]]}]}]})"),
       read_recording,
       {"/format",
        "/method",
        "/cases",
        "/cases/0",
        "/cases/0/name",
        "/cases/0/hyper",
        "/cases/0/hyper/lr",
        "/cases/0/tensors",
        "/cases/0/tensors/0",
        "/cases/0/tensors/0/name",
        "/cases/0/tensors/0/shape",
        "/cases/0/tensors/0/shape/0",
        "/cases/0/tensors/0/init",
        "/cases/0/tensors/0/init/1",
        "/cases/0/steps",
        "/cases/0/steps/0",
        "/cases/0/steps/0/t",
        "/cases/0/steps/0/grad",
        "/cases/0/steps/0/grad/0",
        "/cases/0/steps/0/grad/0/1"},
       {"recording must be a JSON object"}},
      {"QuantizerRecording",
       Json::parse(R"({"format":1,"method":"int4","cases":[{"name":"c","hyper":{"group":4,"stochastic":true,)"
                   R"("seed":3},"shape":[4],"input":[0.5,1,2,3],"uniform_noise":[0.5,0.25,0,0.75]}]})"),
       read_recording,
       {"/cases/0/hyper/group", "/cases/0/hyper/stochastic", "/cases/0/hyper/seed", "/cases/0/shape",
        "/cases/0/input", "/cases/0/input/0", "/cases/0/uniform_noise"},
       {"recording must be a JSON object"}},
      {"RecordsHeader",
       kRecordsHeader,
       [](const TestFolder&, const std::string& text) {
         return records_from_json_lines(text + "\n" + lines({record()})).status();
       },
       {"/format", "/kind", "/item", "/scale", "/environment", "/data"},
       {"expected a JSON object", "expected the header of a reproduction"}},
      {"Record",
       record(),
       [](const TestFolder&, const std::string& text) {
         return records_from_json_lines(lines({kRecordsHeader}) + text + "\n").status();
       },
       {"/run",
        "/part",
        "/horizon",
        "/method",
        "/context",
        "/context/lr",
        "/seed",
        "/state",
        "/error",
        "/settings",
        "/settings/lr",
        "/diverged",
        "/final_loss",
        "/uninformed_loss",
        "/seconds",
        "/weights_checksum",
        "/evaluations",
        "/evaluations/step",
        "/evaluations/step/0",
        "/evaluations/loss",
        "/evaluations/loss/1",
        "/training_loss",
        "/training_loss/0",
        "/grad_norm",
        "/grad_norm/1",
        "/stabilized_norm"}},
      {"RecordsHeaderOfToday",
       records_header_of_today(),
       [](const TestFolder&, const std::string& text) {
         return records_from_json_lines(text + "\n" + lines({record_of_today()})).status();
       },
       {"/format", "/kind", "/item", "/scale", "/environment", "/data", "/measures", "/measures/task",
        "/measures/sample", "/measures/metrics", "/measures/metrics/0", "/measures/metrics/0/key",
        "/measures/metrics/0/better", "/measures/metrics/0/digits", "/measures/uninformed",
        "/measures/loss_spike"},
       // Where the header has other metrics, the runs lack them.
       {"expected a JSON object", "expected the header of a reproduction", "line 2: evaluations."}},
      {"RecordOfToday",
       record_of_today(),
       [](const TestFolder&, const std::string& text) {
         return records_from_json_lines(lines({records_header_of_today()}) + text + "\n").status();
       },
       {"/score", "/uninformed", "/others", "/evaluations/step", "/evaluations/validation_loss",
        "/evaluations/validation_loss/1"}},
      {"RunOfTodayForReport",
       run_of_today(),
       [=](const TestFolder& folder, const std::string& text) {
         return report(folder, text, lines({kStep, kEvalOfToday}), kSummary.dump());
       },
       {"/format", "/measures", "/measures/metrics", "/measures/metrics/0/key", "/measures/loss_spike"}},
      {"EvaluationOfToday",
       kEvalOfToday,
       [=](const TestFolder& folder, const std::string& text) {
         return report(folder, run_of_today().dump(), lines({kStep}) + text + "\n" + lines({kStep}),
                       kSummary.dump());
       },
       {"/kind", "/step", "/validation_loss", "/perplexity"}},
      {"Sweep",
       describe_sweep(llm_options(), {{"seed", {"0", "1"}}}),
       [](const TestFolder& folder, const std::string& text) {
         folder.make("sweep.json", text);
         return SweepDirectory::open(folder.path(), describe_sweep(llm_options(), {{"seed", {"0", "1"}}}))
             .status();
       },
       {"/format", "/kind", "/over", "/over/seed", "/over/seed/0", "/settings", "/settings/lr"},
       {"is not the description of a sweep"}},
      {"SummaryOfSweep",
       kSummary,
       [=](const TestFolder& folder, const std::string& text) {
         write_run(folder, kRun.dump(), lines({kStep}), text);
         const Json description = {{"format", 1}};
         folder.make("sweep.json", description.dump());
         fs::create_directory(folder.path() / "seed=0");
         std::ofstream(folder.path() / "seed=0" / "summary.json") << text;
         std::ofstream(folder.path() / "seed=0" / "metrics.jsonl") << text << "\n";
         const auto directory = SweepDirectory::open(folder.path(), description);
         if (directory) (void)directory->state_of(point);
         (void)is_finished(folder.path());
         return directory.status();
       },
       {}},
      {"StateOfReproduction",
       {{"runs", {{{"state", "finished"}}}}, {"claims", {{{"verdict", "reproduced"}}}}},
       [](const TestFolder& folder, const std::string& text) {
         folder.make("results.json", text);
         folder.make("verdicts.json", text);
         (void)state_of_reproduction(folder.path());
         return Status();
       },
       {}},
      {"CorpusLine",
       {{"text", "a document"}, {"source", {1, 2}}},
       [](const TestFolder& folder, const std::string& text) {
         folder.make("corpus.jsonl", text + "\n");
         const auto source = resolve_source((folder.path() / "corpus.jsonl").string());
         return source ? for_each_document(*source, [](std::string_view) { return Status(); })
                       : source.status();
       },
       {"/text"},
       {"JSON object per line"}},
  };
}

}  // namespace gradstab::lab
