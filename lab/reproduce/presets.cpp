#include "lab/reproduce/presets.hpp"

#include <stdexcept>
#include <utility>

namespace gradstab::lab {
namespace {

/// Updates, and after how many of them the learning rate has risen.
struct Length {
  const char* steps;
  const char* warmup;
  const char* eval_every;
};

Length length_of(Scale scale, const std::string& horizon) {
  const bool is_short = horizon == "short";
  switch (scale) {
    case Scale::smoke:
      return is_short ? Length{"6", "2", "3"} : Length{"8", "2", "4"};
    case Scale::cpu:
      return is_short ? Length{"300", "20", "100"} : Length{"800", "50", "100"};
    case Scale::gpu:
      return is_short ? Length{"500", "50", "100"} : Length{"1500", "150", "250"};
    case Scale::paper:
      return {"20000", "2000", "1000"};
  }
  throw std::out_of_range("no such scale");
}

}  // namespace

std::vector<std::string> horizons(Scale scale) {
  if (scale == Scale::paper) return {"published"};
  return {"short", "long"};
}

bool is_small(Scale scale) {
  return scale == Scale::smoke || scale == Scale::cpu;
}

Settings llm_settings(Scale scale, const std::string& horizon) {
  const Length length = length_of(scale, horizon);
  const Settings settings = {
      {"steps", length.steps}, {"warmup", length.warmup}, {"eval_every", length.eval_every}};
  switch (scale) {
    case Scale::smoke:
      return joined(settings, {{"tokenizer", "bytes"},
                               {"model", "1m"},
                               {"context", "16"},
                               {"batch", "2"},
                               {"eval_batches", "1"},
                               {"final_eval_batches", "2"}});
    case Scale::cpu:
      return joined(settings, {{"tokenizer", "bytes"},
                               {"model", "1m"},
                               {"context", "128"},
                               {"batch", "8"},
                               {"eval_batches", "16"},
                               {"final_eval_batches", "48"}});
    case Scale::gpu:
      // bfloat16 where an item names no other format: products in f32 do not use what a GPU has.
      return joined(settings, {{"precision", "bf16"},
                               {"tokenizer", "bpe"},
                               {"vocab_size", "8192"},
                               {"model", "20m"},
                               {"context", "256"},
                               {"batch", "64"},
                               {"eval_batches", "16"},
                               {"final_eval_batches", "64"}});
    case Scale::paper:
      return joined(settings, {{"tokenizer", "bpe"},
                               {"vocab_size", "32000"},
                               {"model", "130m"},
                               {"context", "256"},
                               {"batch", "128"},
                               {"accumulation", "4"},
                               {"eval_batches", "64"},
                               {"final_eval_batches", "320"}});
  }
  throw std::out_of_range("no such scale");
}

Part llm_part(Scale scale, const std::string& horizon, const Settings& more, std::vector<Arm> arms,
              std::vector<Context> contexts) {
  return {horizon, horizon, joined(llm_settings(scale, horizon), more), std::move(arms), std::move(contexts)};
}

int default_seeds(Scale scale) {
  return scale == Scale::smoke ? 1 : 3;
}

}  // namespace gradstab::lab
