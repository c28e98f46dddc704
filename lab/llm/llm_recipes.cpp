#include "lab/llm/llm_recipes.hpp"

namespace gradstab::lab {

std::vector<Recipe> llm_recipes() {
  return {
      {"smoke",
       "a few updates, which show only that it works",
       {{"tokenizer", "bytes"},
        {"model", "1m"},
        {"context", "16"},
        {"batch", "2"},
        {"eval_batches", "1"},
        {"final_eval_batches", "2"},
        {"steps", "6"},
        {"warmup", "2"},
        {"eval_every", "3"}}},
      {"cpu",
       "half a minute on two cores",
       {{"tokenizer", "bytes"},
        {"model", "1m"},
        {"context", "128"},
        {"batch", "8"},
        {"eval_batches", "16"},
        {"final_eval_batches", "48"},
        {"steps", "300"},
        {"warmup", "20"},
        {"eval_every", "100"}}},
      {"gpu",
       "some seconds on an H100",
       // bfloat16 where nothing names another format: products in f32 do not use what a GPU has.
       {{"precision", "bf16"},
        {"tokenizer", "bpe"},
        {"vocab_size", "8192"},
        {"model", "20m"},
        {"context", "256"},
        {"batch", "64"},
        {"eval_batches", "16"},
        {"final_eval_batches", "64"},
        {"steps", "500"},
        {"warmup", "50"},
        {"eval_every", "100"}}},
      {"published",
       "the paper's 130M model, batch and length",
       {{"tokenizer", "bpe"},
        {"vocab_size", "32000"},
        {"model", "130m"},
        {"context", "256"},
        {"batch", "128"},
        {"accumulation", "4"},
        {"eval_batches", "64"},
        {"final_eval_batches", "320"},
        {"steps", "20000"},
        {"warmup", "2000"},
        {"eval_every", "1000"}}},
  };
}

}  // namespace gradstab::lab
