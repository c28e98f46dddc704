#include "rows.hpp"

#include <torch/torch.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <thread>

#include "gradstab/gradstab.hpp"
#include "method_rows.hpp"
#include "optimizer_rows.hpp"
#include "workload.hpp"

namespace gradstab::bench {
namespace {

/// A transform bound to a workload's parameters.
struct Transform {
  Transform(GradientTransform made, Workload& on, unsigned threads, const std::string& backend)
      : workload(&on), transform(std::move(made)) {
    transform.init(on.parameters(), {.backend = backend, .executor = thread_pool(threads).value()}).check();
  }
  StepReport step() { return transform.update(workload->gradients()).value(); }

  Workload* workload;
  GradientTransform transform;
};

/// Norms of a workload on their way to a file, which goes with this.
class Recorder {
 public:
  Recorder(Workload& on, unsigned threads, const std::string& backend)
      : path_(std::filesystem::temp_directory_path() /
              ("gradstab_bench_" + std::to_string(::getpid()) + "_" + std::to_string(on.elements()))),
        workload_(on),
        recorder_(NormRecorder::open(path_.string(), on.parameters(),
                                     {.backend = backend, .executor = thread_pool(threads).value()})
                      .value()) {}
  ~Recorder() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void step() { recorder_.record(workload_.gradients(), {}, 2.5).check(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  Workload& workload_;
  NormRecorder recorder_;
};

/// LibTorch's view of the same gradients.
class TorchModel {
 public:
  explicit TorchModel(const Workload& workload) {
    for (const TensorRef& gradient : workload.gradients()) {
      torch::Tensor parameter = torch::empty(at::IntArrayRef(gradient.sizes.data(), gradient.sizes.size()));
      parameter.mutable_grad() = torch::from_blob(gradient.data, parameter.sizes());
      parameters_.push_back(std::move(parameter));
    }
  }
  double clip_grad_norm(double max_norm) { return torch::nn::utils::clip_grad_norm_(parameters_, max_norm); }

 private:
  std::vector<torch::Tensor> parameters_;
};

/// Far below the norm of any workload, so that every element is multiplied.
constexpr double kMaxNorm = 1e-3;

void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error("wrong result: " + what);
}

/// One step from fresh gradients is what plain loops give: every norm, and elements throughout each tensor.
void verify(Transform& timed, const std::string& name) {
  Workload& workload = *timed.workload;
  workload.restore();
  const StepReport report = timed.step();
  // Half a unit in the last place, relative; float16 rounds small values to a fixed spacing of 2^-24.
  const double roundoff = workload.dtype() == DType::float32    ? 0x1p-24
                          : workload.dtype() == DType::bfloat16 ? 0x1p-8
                                                                : 0x1p-11;
  for (std::size_t t = 0; t < report.tensors.size(); ++t) {
    const TensorReport& tensor = report.tensors[t];
    const std::int64_t count = element_count(workload.parameters()[t].sizes);
    double sum = 0.0;
    for (std::int64_t i = 0; i < count; ++i) {
      const double value = workload.pristine_value(t, i);
      sum += value * value;
    }
    // Both sums err by 2^-53 per addition; squares of 16-bit formats may be added in pairs in float.
    const double pairs = size_of(workload.dtype()) == 2 ? 0x1p-25 : 0.0;
    require(std::fabs(tensor.raw_norm - std::sqrt(sum)) <=
                (static_cast<double>(count + 1) * 0x1p-53 + pairs) * std::sqrt(sum),
            name + ": norm of tensor " + std::to_string(t));
    for (std::int64_t i = 0; i < count; i += 1 + count / 1000) {
      const double expected = workload.pristine_value(t, i) * tensor.factor;
      require(std::fabs(workload.value(t, i) - expected) <= roundoff * std::fabs(expected) + 0x1p-25,
              name + ": element " + std::to_string(i) + " of tensor " + std::to_string(t));
    }
  }
}

/// That a step has something to do: each tensor of fresh gradients is multiplied by something.
void verify_scales(Transform& timed, const std::string& name) {
  timed.workload->restore();
  for (const TensorReport& tensor : timed.step().tensors)
    require(tensor.factor != 1.0, name + ": nothing to scale");
}

/// A step that is recorded has the norms that a transform measures, as exactly as float32 has them.
void verify_recorder(Recorder& recorder, Transform& observe, const std::string& name) {
  struct Last final : RecordingSink {
    void header(const RecordingHeader&) override {}
    bool step(const RecordedStep& step) override {
      norms.assign(step.norms.begin(), step.norms.end());
      return true;
    }
    std::vector<double> norms;
  };
  observe.workload->restore();
  recorder.step();
  const StepReport report = observe.step();
  std::ifstream file(recorder.path(), std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  Last last;
  RecordingReader reader;
  reader.feed(std::as_bytes(std::span(bytes)), last).value();
  require(last.norms.size() == report.tensors.size(), name + ": recorded tensors");
  for (std::size_t t = 0; t < report.tensors.size(); ++t) {
    const double norm = report.tensors[t].raw_norm;
    require(std::fabs(last.norms[t] - norm) <= 0x1p-24 * norm, name + ": recorded norm " + std::to_string(t));
  }
}

void verify_torch(TorchModel& model, Workload& workload, Transform& clip) {
  workload.restore();
  const double norm = model.clip_grad_norm(kMaxNorm);
  const double clipped = workload.value(0, 1);
  workload.restore();
  const StepReport report = clip.step();
  // LibTorch sums squares in float; 1e-3 tells that both did the same work, not who is right.
  require(std::fabs(norm - report.raw_global_norm) <= 1e-3 * norm, "global norm of clip_grad_norm_");
  require(std::fabs(clipped - workload.value(0, 1)) <= 1e-3 * std::fabs(clipped), "clip_grad_norm_");
}

class Run {
 public:
  Run(const Settings& settings, unsigned threads, Results& results)
      : settings_(settings), threads_(threads), results_(results), executor_(thread_pool(threads).value()) {}

  void llama();
  void many_tensors(const std::string& name, ParameterSet parameters, double target);

 private:
  static std::function<void()> fresh(Workload& workload) {
    return [&workload] { workload.restore(); };
  }
  Transform make(GradientTransform transform, Workload& workload) const {
    return {std::move(transform), workload, threads_, settings_.backend};
  }
  void add_row(const Experiment& experiment, std::string name, const std::vector<std::string>& numerators,
               const std::vector<std::string>& denominators, Better better, double target,
               const std::string& timed, std::size_t bytes) {
    const double seconds = experiment.seconds(timed).median;
    results_.rows.push_back({std::move(name), threads_, experiment.ratio(numerators, denominators), better,
                             target, seconds, static_cast<double>(bytes) / seconds / 1e9});
  }

  const Settings& settings_;
  unsigned threads_;
  Results& results_;
  std::shared_ptr<Executor> executor_;
};

void Run::llama() {
  const ParameterSet parameters = settings_.quick ? llama_parameters(6, 8000) : llama_parameters(12, 32000);
  Workload f32(parameters, DType::float32);
  Workload bf16(parameters, DType::bfloat16);
  Workload f16(parameters, DType::float16);
  Transform stabilize_f32 = make(stabilize(), f32);
  Transform stabilize_bf16 = make(stabilize(), bf16);
  Transform stabilize_f16 = make(stabilize(), f16);
  Transform clip = make(clip_by_global_norm(kMaxNorm), f32);
  Transform observe = make(record_norms(), f32);
  Recorder recorder(f32, threads_, settings_.backend);
  TorchModel model(f32);

  at::set_num_threads(static_cast<int>(threads_));
  verify(stabilize_f32, "stabilize, float32");
  verify(stabilize_bf16, "stabilize, bfloat16");
  verify(stabilize_f16, "stabilize, float16");
  verify(clip, "clip_by_global_norm");
  verify(observe, "record_norms");
  verify_recorder(recorder, observe, "NormRecorder");
  for (Transform* each : {&stabilize_f32, &stabilize_bf16, &stabilize_f16, &clip})
    verify_scales(*each, "llama");
  verify_torch(model, f32, clip);

  Experiment experiment;
  experiment.add("read", fresh(f32), [&] { stream_read(*executor_, f32.pieces()); });
  experiment.add("read-write", fresh(f32), [&] { stream_read_write(*executor_, f32.pieces()); });
  experiment.add("f32", fresh(f32), [&] { stabilize_f32.step(); });
  experiment.add("bf16", fresh(bf16), [&] { stabilize_bf16.step(); });
  experiment.add("f16", fresh(f16), [&] { stabilize_f16.step(); });
  experiment.add("clip", fresh(f32), [&] { clip.step(); });
  experiment.add("observe", fresh(f32), [&] { observe.step(); });
  experiment.add("record", fresh(f32), [&] { recorder.step(); });
  experiment.add("torch", fresh(f32), [&] { model.clip_grad_norm(kMaxNorm); });
  experiment.run(settings_.repeats);

  const auto stream_row = [&](const std::string& name) {
    const Summary seconds = experiment.seconds(name);
    results_.rows.push_back({"machine: streaming " + name + " of float32 (GB/s of gradient)",
                             threads_,
                             {1.0, seconds.mad / seconds.median},
                             Better::lower,
                             0.0,
                             seconds.median,
                             static_cast<double>(f32.bytes()) / seconds.median / 1e9});
  };
  stream_row("read");
  stream_row("read-write");
  add_row(experiment, "llama f32: stabilize / (streaming read + read-write)", {"f32"}, {"read", "read-write"},
          Better::lower, 1.15, "f32", f32.bytes());
  add_row(experiment, "llama f32: clip_by_global_norm / (read + read-write)", {"clip"},
          {"read", "read-write"}, Better::lower, 1.15, "clip", f32.bytes());
  add_row(experiment, "llama f32: record_norms / streaming read", {"observe"}, {"read"}, Better::lower, 1.10,
          "observe", f32.bytes());
  add_row(experiment, "llama f32: NormRecorder, to a file / streaming read", {"record"}, {"read"},
          Better::lower, 1.10, "record", f32.bytes());
  add_row(experiment, "llama f32: NormRecorder, to a file / record_norms", {"record"}, {"observe"},
          Better::lower, 0.0, "record", f32.bytes());
  add_row(experiment, "llama bf16: stabilize / the same in f32", {"bf16"}, {"f32"}, Better::lower, 0.62,
          "bf16", bf16.bytes());
  add_row(experiment, "llama f16: stabilize / the same in f32", {"f16"}, {"f32"}, Better::lower, 0.62, "f16",
          f16.bytes());
  add_row(experiment, "llama f32: torch clip_grad_norm_ / stabilize", {"torch"}, {"f32"}, Better::higher, 1.3,
          "f32", f32.bytes());
  add_row(experiment, "llama f32: torch clip_grad_norm_ / clip_by_global_norm", {"torch"}, {"clip"},
          Better::higher, 0.0, "clip", f32.bytes());
  add_row(experiment, "llama f32: torch clip_grad_norm_ / (read + read-write)", {"torch"},
          {"read", "read-write"}, Better::higher, 0.0, "torch", f32.bytes());
}

void Run::many_tensors(const std::string& name, ParameterSet parameters, double target) {
  Workload workload(std::move(parameters), DType::float32);
  Transform stabilizer = make(stabilize(), workload);
  Transform clip = make(clip_by_global_norm(kMaxNorm), workload);
  Transform observe = make(record_norms(), workload);
  Recorder recorder(workload, threads_, settings_.backend);
  TorchModel model(workload);
  at::set_num_threads(static_cast<int>(threads_));
  verify(stabilizer, name);
  verify(clip, name);
  verify_recorder(recorder, observe, name);
  verify_scales(stabilizer, name);
  verify_scales(clip, name);
  verify_torch(model, workload, clip);

  constexpr int kCalls = 5;
  Experiment experiment;
  experiment.add(
      "read", fresh(workload), [&] { stream_read(*executor_, workload.pieces()); }, kCalls);
  experiment.add(
      "read-write", fresh(workload), [&] { stream_read_write(*executor_, workload.pieces()); }, kCalls);
  experiment.add(
      "stabilize", fresh(workload), [&] { stabilizer.step(); }, kCalls);
  experiment.add(
      "clip", fresh(workload), [&] { clip.step(); }, kCalls);
  experiment.add(
      "observe", fresh(workload), [&] { observe.step(); }, kCalls);
  experiment.add(
      "record", fresh(workload), [&] { recorder.step(); }, kCalls);
  experiment.add(
      "torch", fresh(workload), [&] { model.clip_grad_norm(kMaxNorm); }, kCalls);
  experiment.run(settings_.repeats);
  add_row(experiment, name + ": torch clip_grad_norm_ / stabilize", {"torch"}, {"stabilize"}, Better::higher,
          target, "stabilize", workload.bytes());
  add_row(experiment, name + ": torch clip_grad_norm_ / clip_by_global_norm", {"torch"}, {"clip"},
          Better::higher, 0.0, "clip", workload.bytes());
  add_row(experiment, name + ": stabilize / (read + read-write)", {"stabilize"}, {"read", "read-write"},
          Better::lower, 0.0, "stabilize", workload.bytes());
  add_row(experiment, name + ": torch clip_grad_norm_ / (read + read-write)", {"torch"},
          {"read", "read-write"}, Better::higher, 0.0, "torch", workload.bytes());
  add_row(experiment, name + ": NormRecorder, to a file / streaming read", {"record"}, {"read"},
          Better::lower, 0.0, "record", workload.bytes());
  add_row(experiment, name + ": NormRecorder, to a file / record_norms", {"record"}, {"observe"},
          Better::lower, 0.0, "record", workload.bytes());
}

}  // namespace

Results run_all(const Settings& settings) {
  Results results;
  results.processor = processor_name();
  results.processor_threads = std::thread::hardware_concurrency();
  results.repeats = settings.repeats;
  results.quick = settings.quick;
  results.backend = find_backend(settings.backend).value()->name();
  const auto wanted = [&](std::string_view group) { return settings.only.empty() || settings.only == group; };
  constexpr std::array kThreads = {1u, 2u};
  // The optimizers first: LibTorch's allocates temporaries of a tensor's size, and how fast the C library
  // hands those out depends on what was freed before.
  if (wanted("optimizers"))
    for (const unsigned threads : kThreads) add_optimizer_rows(settings, threads, results);
  if (wanted("transforms")) {
    for (const unsigned threads : kThreads) {
      Run run(settings, threads, results);
      run.llama();
      run.many_tensors("10,000 x 64", equal_parameters(settings.quick ? 2000 : 10000, 64), 10.0);
      run.many_tensors("ResNet-50", resnet50_parameters(), 4.0);
    }
  }
  if (wanted("methods"))
    for (const unsigned threads : kThreads) add_method_rows(settings, threads, results);
  return results;
}

}  // namespace gradstab::bench
