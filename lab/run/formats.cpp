#include "lab/run/formats.hpp"

#include <cmath>

namespace gradstab::lab {

TaskInfo measures_of_format_1(double vocab_size) {
  TaskInfo info;
  info.name = kTaskOfFormat1;
  info.sample = "tokens";
  info.held_out = "on held-out text";
  info.loss_unit = "nats per token";
  info.metrics = {
      {.key = "validation_loss", .title = "Validation loss", .noun = "loss", .unit = "nats per token"},
      {.key = "perplexity",
       .title = "Perplexity",
       .noun = "perplexity",
       .unit = "",
       .digits = 2,
       .meaning = "The exponential of the validation loss: among how many equally likely words the model is "
                  "left guessing.",
       .exp_of_score = true}};
  info.uninformed = std::log(vocab_size);
  return info;
}

}  // namespace gradstab::lab
