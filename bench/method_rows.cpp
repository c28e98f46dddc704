#include "method_rows.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "gradstab/gradstab.hpp"
#include "workload.hpp"

namespace gradstab::bench {
namespace {

/// Small enough that every method has to write in every step: fresh gradients have elements around 1e-2.
std::vector<GradientTransform> all_methods() {
  AdaGcOptions adagc_per_tensor;
  adagc_per_tensor.warmup_steps = 0;
  adagc_per_tensor.relative = 0.5;
  ZClipOptions z;
  z.warmup_steps = 1;
  z.max_norm = 1e-3;
  AdaptiveValueClipOptions value;
  value.theta = 0.0;
  SpikeAwareClipOptions spikes;
  spikes.quiet_steps = 0;
  spikes.threshold = 0.5;
  std::vector<GradientTransform> list;
  list.push_back(stabilize());
  list.push_back(clip_by_value(1e-3));
  list.push_back(clip_by_global_norm(1e-3));
  list.push_back(adaptive_clip());
  list.push_back(zclip(z));
  list.push_back(adagc(adagc_per_tensor));
  list.push_back(spike_aware_clip(spikes));
  list.push_back(adaptive_value_clip(value));
  list.push_back(adaptive_norm());
  list.push_back(normalize());
  list.push_back(scale_by(0.5));
  list.push_back(record_norms());
  return list;
}

}  // namespace

void add_method_rows(const Settings& settings, unsigned threads, Results& results) {
  // A third of the full model: several methods more than fit into a cache, in a reasonable time.
  Workload gradients(llama_parameters(6, 8000), DType::float32);
  Workload parameters(llama_parameters(6, 8000), DType::float32);
  const auto executor = thread_pool(threads).value();
  std::vector<GradientTransform> methods = all_methods();
  Experiment experiment;
  const auto fresh = [&] { gradients.restore(); };
  experiment.add("read", fresh, [&] { stream_read(*executor, gradients.pieces()); });
  for (GradientTransform& method : methods) {
    method.init(gradients.parameters(), {.backend = settings.backend, .executor = executor}).check();
    const auto step = [&] { return method.update(gradients.gradients(), parameters.gradients()).value(); };
    for (int i = 0; i < 3; ++i) {
      fresh();
      const StepReport report = step();
      if (!(report.raw_global_norm > 0.0) || report.nonfinite > 0)
        throw std::runtime_error("wrong result: " + method.name());
    }
    experiment.add(method.name(), fresh, [step] { step(); });
  }
  experiment.run(settings.repeats);
  for (const GradientTransform& method : methods) {
    const double seconds = experiment.seconds(method.name()).median;
    results.rows.push_back({"llama (47 M) f32: " + method.name() + " / streaming read", threads,
                            experiment.ratio({method.name()}, {"read"}), Better::lower, 0.0, seconds,
                            static_cast<double>(gradients.bytes()) / seconds / 1e9});
  }
}

}  // namespace gradstab::bench
