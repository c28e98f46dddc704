// Stabilizing a LibTorch training loop: the optimizer's type is the one line that changes.
#include <torch/torch.h>

#include <gradstab/libtorch.hpp>
#include <iostream>

int main() {
  torch::manual_seed(0);
  torch::nn::Sequential model(torch::nn::Linear(8, 32), torch::nn::Tanh(), torch::nn::Linear(32, 1));
  const torch::Tensor inputs = torch::randn({256, 8});
  const torch::Tensor targets = inputs.sum(1, /*keepdim=*/true).sin();

  gradstab::Stabilized<torch::optim::AdamW> optimizer(model->named_parameters(),
                                                      torch::optim::AdamWOptions(1e-2));
  torch::optim::StepLR schedule(optimizer, /*step_size=*/100, /*gamma=*/0.5);

  for (int step = 1; step <= 200; ++step) {
    optimizer.zero_grad();
    torch::Tensor loss = torch::mse_loss(model->forward(inputs), targets);
    loss.backward();
    optimizer.step();
    schedule.step();
    if (step % 50 == 0) {
      std::cout << "step " << step << "  loss " << loss.item<float>() << "  gradient norm "
                << optimizer.report().raw_global_norm << " -> " << optimizer.report().global_norm << '\n';
    }
  }
}
