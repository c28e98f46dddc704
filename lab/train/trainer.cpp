#include "lab/train/trainer.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <sstream>

#include "lab/train/checkpoint.hpp"
#include "lab/train/environment.hpp"
#include "lab/train/optimizer_factory.hpp"
#include "lab/train/run_directory.hpp"
#include "lab/train/schedule.hpp"

namespace gradstab::lab {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Everything about a run's progress that a checkpoint must bring back.
struct Progress {
  std::int64_t step = 0;
  std::int64_t tokens = 0;
  double seconds = 0.0;
  std::int64_t spikes = 0;
  std::int64_t nonfinite = 0;
  double validation_loss = kNaN;
  double best_validation_loss = kNaN;
};

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}
double number(const Json& value) {
  return value.is_number() ? value.get<double>() : kNaN;
}

Json to_json(const Progress& progress) {
  return {{"step", progress.step},
          {"tokens", progress.tokens},
          {"seconds", progress.seconds},
          {"spikes", progress.spikes},
          {"nonfinite", progress.nonfinite},
          {"validation_loss", number(progress.validation_loss)},
          {"best_validation_loss", number(progress.best_validation_loss)}};
}

Progress progress_from_json(const Json& json) {
  Progress progress;
  json.at("step").get_to(progress.step);
  json.at("tokens").get_to(progress.tokens);
  json.at("seconds").get_to(progress.seconds);
  json.at("spikes").get_to(progress.spikes);
  json.at("nonfinite").get_to(progress.nonfinite);
  progress.validation_loss = number(json.at("validation_loss"));
  progress.best_validation_loss = number(json.at("best_validation_loss"));
  return progress;
}

/// Smallest, median and largest of a norm over the tensors that have a gradient, and where the largest is.
Json norm_summary(const StepReport& report, const ParameterSet& parameters, bool raw) {
  std::vector<std::pair<double, std::size_t>> norms;
  for (std::size_t i = 0; i < report.tensors.size(); ++i) {
    const TensorReport& tensor = report.tensors[i];
    const double norm = raw ? tensor.raw_norm : tensor.norm();
    if (tensor.present && std::isfinite(norm)) norms.emplace_back(norm, i);
  }
  if (norms.empty()) return {{"min", nullptr}, {"median", nullptr}, {"max", nullptr}, {"max_name", nullptr}};
  std::ranges::sort(norms);
  return {{"min", norms.front().first},
          {"median", norms[norms.size() / 2].first},
          {"max", norms.back().first},
          {"max_name", parameters[norms.back().second].name}};
}

/// Identifies weights exactly: equal runs have equal checksums.
std::string weights_checksum(const torch::nn::Module& model) {
  uLong sum = crc32_z(0, nullptr, 0);
  for (const auto& item : model.named_parameters()) {
    const torch::Tensor values = item.value().detach().contiguous();
    sum = crc32_z(sum, static_cast<const Bytef*>(values.data_ptr()), static_cast<z_size_t>(values.nbytes()));
  }
  return fmt::format("{:08x}", sum);
}

double median(std::vector<double> values) {
  if (values.empty()) return kNaN;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class Value>
std::string archive_of(const Value& value) {
  std::ostringstream stream;
  torch::save(value, stream);
  return std::move(stream).str();
}

class Run {
 public:
  Run(Task& task, const TrainRequest& request)
      : task_(task),
        request_(request),
        options_(request.options),
        schedule_{options_.lr, options_.warmup, options_.steps, options_.min_lr_ratio},
        injected_spikes_(parse_injected_spikes(options_.inject_spikes).value()),
        optimizer_(make_optimizer(options_, task.model())) {}

  Result<TrainResult> train();

 private:
  Json describe() const;
  Status restore();
  Status checkpoint() const;
  Result<double> update();
  Status evaluate();
  Result<TrainResult> finish(TrainOutcome outcome);

  Task& task_;
  const TrainRequest& request_;
  const TrainOptions& options_;
  CosineSchedule schedule_;
  std::vector<InjectedSpike> injected_spikes_;
  std::unique_ptr<TrainingOptimizer> optimizer_;
  std::optional<RunDirectory> directory_;
  Progress progress_;
  std::vector<double> speeds_;
};

Json Run::describe() const {
  return {{"format", 1},
          {"name", request_.name},
          {"task", task_.name()},
          {"command", request_.command},
          {"settings", lab::to_json(options_)},
          {"model", task_.describe_model()},
          {"data", task_.describe_data()},
          {"environment", describe_environment()}};
}

Status Run::checkpoint() const {
  Checkpoint checkpoint;
  checkpoint.header = {{"progress", to_json(progress_)},
                       {"task", task_.name()},
                       {"model", task_.describe_model()},
                       {"settings", lab::to_json(options_)}};
  std::ostringstream model;
  torch::serialize::OutputArchive archive;
  task_.model().save(archive);
  archive.save_to(model);
  checkpoint.blobs["model"] = std::move(model).str();
  checkpoint.blobs["optimizer"] = archive_of(optimizer_->optimizer());
  return write_checkpoint(directory_->checkpoint_path(), checkpoint);
}

Status Run::restore() {
  const std::filesystem::path path = request_.directory / "checkpoint.gsck";
  const auto checkpoint = read_checkpoint(path);
  if (!checkpoint) return checkpoint.status();
  const auto mismatch = [&](const char* what, const Json& expected, const Json& found) {
    return Status(StatusCode::shape_mismatch,
                  fmt::format("checkpoint '{}' is of another {}: {}, expected {}", path.string(), what,
                              found.dump(), expected.dump()));
  };
  try {
    const Json& header = checkpoint->header;
    if (header.at("model") != task_.describe_model()) {
      return mismatch("model", task_.describe_model(), header.at("model"));
    }
    // Threads change the order of sums inside LibTorch, not what is learned; all else must agree.
    Json saved = header.at("settings");
    Json current = lab::to_json(options_);
    saved.erase("threads");
    current.erase("threads");
    if (saved != current) return mismatch("run", current, saved);
    progress_ = progress_from_json(header.at("progress"));
    std::istringstream model(checkpoint->blobs.at("model"));
    torch::serialize::InputArchive archive;
    archive.load_from(model);
    task_.model().load(archive);
    std::istringstream optimizer(checkpoint->blobs.at("optimizer"));
    torch::load(optimizer_->optimizer(), optimizer);
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return {StatusCode::corrupt_data, fmt::format("checkpoint '{}' does not fit this run: {}", path.string(),
                                                  text.substr(0, text.find('\n')))};
  }
  return {};
}

/// One optimizer update. Returns the training loss.
Result<double> Run::update() {
  const auto begin = Clock::now();
  const double lr = schedule_.at(progress_.step);
  for (auto& group : optimizer_->optimizer().param_groups()) group.options().set_lr(lr);
  // Dropped rather than zeroed: backward then stores the gradient instead of adding it to zeros.
  for (torch::Tensor& parameter : task_.model().parameters()) parameter.mutable_grad().reset();
  const auto failed = [&](const Error& error) {
    return Status(error.code(), fmt::format("update {}: {}", progress_.step + 1, error.what()));
  };
  double loss = 0.0;
  for (std::int64_t i = 0; i < options_.accumulation; ++i) {
    const auto index = static_cast<std::uint64_t>(progress_.step * options_.accumulation + i);
    torch::Tensor micro_loss = task_.training_loss(index) / static_cast<double>(options_.accumulation);
    optimizer_->before_backward(i + 1 == options_.accumulation);
    try {
      micro_loss.backward();
    } catch (const Error& error) {
      return failed(error);
    }
    loss += micro_loss.item<double>();
  }
  for (const InjectedSpike& spike : injected_spikes_) {
    if (spike.update != progress_.step + 1) continue;
    for (torch::Tensor& parameter : task_.model().parameters()) {
      if (parameter.grad().defined()) parameter.mutable_grad().mul_(spike.factor);
    }
  }
  try {
    optimizer_->step();
  } catch (const Error& error) {
    return failed(error);
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const std::int64_t tokens = task_.micro_batch_size() * options_.accumulation;
  const StepReport& report = optimizer_->report();
  progress_.step += 1;
  progress_.tokens += tokens;
  progress_.seconds += seconds;
  progress_.spikes += static_cast<std::int64_t>(report.spikes);
  progress_.nonfinite += static_cast<std::int64_t>(report.nonfinite);
  speeds_.push_back(static_cast<double>(tokens) / seconds);

  const ParameterSet& parameters = optimizer_->parameters();
  // A step that saw NaN or Inf has no norm worth drawing.
  const bool finite = report.nonfinite == 0;
  GRADSTAB_RETURN_IF_ERROR(
      directory_->append_metrics({{"kind", "step"},
                                  {"step", progress_.step},
                                  {"loss", number(loss)},
                                  {"lr", lr},
                                  {"tokens", progress_.tokens},
                                  {"tokens_per_second", speeds_.back()},
                                  {"seconds", progress_.seconds},
                                  {"grad_norm", number(finite ? report.raw_global_norm : kNaN)},
                                  {"stabilized_norm", number(finite ? report.global_norm : kNaN)},
                                  {"spikes", report.spikes},
                                  {"nonfinite", report.nonfinite},
                                  {"raw_norm", norm_summary(report, parameters, true)},
                                  {"transformed_norm", norm_summary(report, parameters, false)}}));
  return loss;
}

Status Run::evaluate() {
  const auto begin = Clock::now();
  const bool last = progress_.step == options_.steps;
  const double loss = task_.validation_loss(last ? 0 : options_.eval_batches);
  progress_.seconds += std::chrono::duration<double>(Clock::now() - begin).count();
  progress_.validation_loss = loss;
  if (!(loss >= progress_.best_validation_loss)) progress_.best_validation_loss = loss;
  return directory_->append_metrics({{"kind", "eval"},
                                     {"step", progress_.step},
                                     {"loss", number(loss)},
                                     {"perplexity", number(std::exp(loss))}});
}

Result<TrainResult> Run::finish(TrainOutcome outcome) {
  const double loss = progress_.validation_loss;
  TrainResult result;
  result.outcome = outcome;
  result.summary = {{"format", 1},
                    {"state", outcome == TrainOutcome::finished ? "finished" : "interrupted"},
                    {"step", progress_.step},
                    {"final_validation_loss", number(loss)},
                    {"final_perplexity", number(std::exp(loss))},
                    {"best_validation_loss", number(progress_.best_validation_loss)},
                    {"spikes", progress_.spikes},
                    {"nonfinite", progress_.nonfinite},
                    {"diverged", outcome == TrainOutcome::finished && !(loss < task_.uninformed_loss())},
                    {"seconds", progress_.seconds},
                    {"tokens_per_second", number(median(speeds_))},
                    {"weights_checksum", weights_checksum(task_.model())}};
  GRADSTAB_RETURN_IF_ERROR(directory_->write_summary(result.summary));
  return result;
}

Result<TrainResult> Run::train() {
  if (request_.resume) {
    GRADSTAB_RETURN_IF_ERROR(restore());
    auto directory = RunDirectory::reopen(request_.directory, progress_.step);
    if (!directory) return directory.status();
    directory_ = std::move(*directory);
  } else {
    auto directory = RunDirectory::create(request_.directory, describe(), request_.force);
    if (!directory) return directory.status();
    directory_ = std::move(*directory);
  }
  while (progress_.step < options_.steps) {
    const auto loss = update();
    if (!loss) return loss.status();
    const bool done = progress_.step == options_.steps;
    if (done || progress_.step % options_.eval_every == 0) GRADSTAB_RETURN_IF_ERROR(evaluate());
    if (request_.on_step) {
      request_.on_step({progress_.step, options_.steps, *loss, progress_.validation_loss,
                        optimizer_->report().raw_global_norm, speeds_.back(),
                        static_cast<std::size_t>(progress_.spikes)});
    }
    const bool stop = !done && request_.should_stop && request_.should_stop();
    if (done || stop || progress_.step % options_.checkpoint_every == 0)
      GRADSTAB_RETURN_IF_ERROR(checkpoint());
    if (stop) return finish(TrainOutcome::interrupted);
  }
  return finish(TrainOutcome::finished);
}

}  // namespace

Result<TrainResult> train(Task& task, const TrainRequest& request) {
  try {
    return Run(task, request).train();
  } catch (const Error& error) {
    return Status(error.code(), error.what());
  }
}

}  // namespace gradstab::lab
