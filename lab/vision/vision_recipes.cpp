#include "lab/vision/vision_recipes.hpp"

namespace gradstab::lab::vision {
namespace {

/// Of a model that a CPU trains within minutes. In so few epochs, random crops cost more than they bring.
SettingTexts on_a_cpu(const SettingTexts& more) {
  return joined({{"crop", "none"},
                 {"batch", "128"},
                 {"warmup_epochs", "1"},
                 {"schedule", "cosine"},
                 {"min_lr_ratio", "0"},
                 {"eval_every", "0"},
                 {"checkpoint_every", "0"}},
                more);
}

SettingTexts cpu_vit() {
  return on_a_cpu({{"model", "vit-mini"}, {"lr", "0.003"}, {"weight_decay", "0.05"}, {"epochs", "8"}});
}

/// Of pictures of all sizes, as ImageNet's.
SettingTexts of_imagenet(const SettingTexts& more) {
  return joined({{"crop", "random_resized"},
                 {"normalization", "imagenet"},
                 {"validation", "0"},
                 {"eval_every", "0"},
                 {"checkpoint_every", "0"}},
                more);
}

SettingTexts vit_b16() {
  return of_imagenet({{"model", "vit-b16"},
                      {"eval_resize", "256"},
                      {"policy", "random_augment"},
                      {"mixup", "0.2"},
                      {"cutmix", "1"},
                      {"repeats", "3"},
                      {"label_smoothing", "0.11"},
                      {"optimizer", "adamw"},
                      {"lr", "0.003"},
                      {"weight_decay", "0.3"},
                      {"batch", "512"},
                      {"accumulation", "8"},
                      {"epochs", "300"},
                      {"schedule", "cosine"},
                      {"min_lr_ratio", "0"},
                      {"warmup_epochs", "30"},
                      {"warmup_start", "0.033"},
                      {"lr_per_epoch", "true"},
                      {"average_decay", "0.99973"}});
}

SettingTexts convnext_t() {
  return of_imagenet({{"model", "convnext-t"},
                      {"picture_size", "176"},
                      {"eval_size", "224"},
                      {"eval_resize", "232"},
                      {"policy", "trivial_augment"},
                      {"erase", "0.1"},
                      {"mixup", "0.2"},
                      {"cutmix", "1"},
                      {"repeats", "4"},
                      {"label_smoothing", "0.1"},
                      {"drop_path", "0.1"},
                      {"optimizer", "adamw"},
                      {"lr", "0.001"},
                      {"weight_decay", "0.05"},
                      {"decayed", "not_norms"},
                      {"batch", "128"},
                      {"accumulation", "8"},
                      {"epochs", "600"},
                      {"schedule", "cosine"},
                      {"min_lr_ratio", "0"},
                      {"warmup_epochs", "5"},
                      {"warmup_start", "0.01"},
                      {"lr_per_epoch", "true"},
                      {"average_decay", "0.999966"}});
}

SettingTexts resnet50() {
  return of_imagenet({{"model", "resnet50"},
                      {"eval_resize", "256"},
                      {"optimizer", "sgd"},
                      {"beta1", "0.9"},
                      {"lr", "0.1"},
                      {"weight_decay", "0.0001"},
                      {"batch", "32"},
                      {"accumulation", "8"},
                      {"epochs", "90"},
                      {"warmup", "0"},
                      {"schedule", "step"},
                      {"decay_every", "30"},
                      {"decay_factor", "0.1"}});
}

}  // namespace

std::vector<Recipe> vision_recipes() {
  return {{"smoke",
           "a few updates, which show only that it works",
           {{"model", "vit-mini"},
            {"batch", "16"},
            {"steps", "6"},
            {"warmup", "0"},
            {"validation", "200"},
            {"eval_every", "3"},
            {"checkpoint_every", "3"}}},
          {"cpu", "the small ViT: minutes on one core", cpu_vit()},
          {"cpu-vit", "the same", cpu_vit()},
          {"cpu-convnext", "a small ConvNeXt: minutes on one core",
           on_a_cpu({{"model", "convnext-mini"},
                     {"layer_scale", "0.1"},
                     {"lr", "0.004"},
                     {"weight_decay", "0.05"},
                     {"epochs", "12"}})},
          {"cpu-resnet", "a small ResNet: minutes on one core",
           on_a_cpu({{"model", "resnet-mini"}, {"lr", "0.006"}, {"weight_decay", "0.05"}, {"epochs", "8"}})},
          {"gpu", "ViT-Ti/16 for 30 epochs",
           joined(vit_b16(), {{"model", "vit-ti16"},
                              {"epochs", "30"},
                              {"warmup_epochs", "3"},
                              {"accumulation", "2"},
                              {"average_decay", "0"}})},
          {"published", "the ViT that the paper trained, as published", vit_b16()},
          {"vit-b16", "ViT-B/16 as published", vit_b16()},
          {"convnext-t", "ConvNeXt-T as published", convnext_t()},
          {"resnet50", "ResNet-50 as published", resnet50()}};
}

}  // namespace gradstab::lab::vision
