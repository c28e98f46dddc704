// Several processes, here threads, that bring their parts of an update together.
#include "lab/train/processes.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "lab/train/shared_update.hpp"

namespace gradstab::lab {
namespace {

using at::Tensor;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::chrono::seconds kTimeout{20};

/// A port of this machine that nobody listens on.
std::int64_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(socket, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    ADD_FAILURE() << "no free port";
  close(socket);
  return ntohs(address.sin_port);
}

/// Calls `work` in as many threads as there are processes, each with its own view of the group.
void together(int size, const std::function<void(Processes&)>& work) {
  const std::int64_t port = free_port();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      ProcessPlace place;
      place.rank = rank;
      place.size = size;
      place.port = port;
      auto processes = Processes::join(place, kTimeout);
      ASSERT_TRUE(processes) << processes.status().message();
      work(*processes);
    });
  for (std::thread& thread : threads) thread.join();
}

bool has_gloo() {
  ProcessPlace place;
  place.size = 2;
  place.rank = 1;
  place.port = free_port();
  const auto joined = Processes::join(place, std::chrono::seconds(1));
  return joined.status().code() != StatusCode::unsupported;
}

class ProcessesTest : public testing::Test {
 protected:
  void SetUp() override {
    static const bool there = has_gloo();
    if (!there) GTEST_SKIP() << "built without Gloo";
  }
};

TEST_F(ProcessesTest, SumsAreThoseOfAll) {
  for (const int size : {1, 2, 3, 5}) {
    together(size, [&](Processes& processes) {
      const auto rank = static_cast<double>(processes.rank());
      Tensor numbers = torch::tensor({1.0, rank, 0.5}, torch::kDouble);
      ASSERT_TRUE(processes.sum(numbers).ok());
      EXPECT_EQ(numbers[0].item<double>(), size);
      EXPECT_EQ(numbers[1].item<double>(), size * (size - 1) / 2.0);
    });
  }
}

TEST_F(ProcessesTest, TextsComeInTheOrderOfRanks) {
  together(3, [](Processes& processes) {
    const std::vector<std::string> said = {"first", "", std::string("a\0b", 3)};
    const auto texts = processes.texts(said[static_cast<std::size_t>(processes.rank())]);
    ASSERT_TRUE(texts);
    EXPECT_EQ(*texts, said);
  });
}

TEST_F(ProcessesTest, TheFirstErrorIsThatOfAll) {
  together(4, [](Processes& processes) {
    EXPECT_TRUE(processes.agreed({}).ok());
    Status mine;
    if (processes.rank() == 2) mine = {StatusCode::corrupt_data, "two"};
    if (processes.rank() == 3) mine = {StatusCode::io_error, "three"};
    const Status all = processes.agreed(mine);
    EXPECT_EQ(all.code(), StatusCode::corrupt_data);
    EXPECT_EQ(all.message(), "two");
  });
}

TEST_F(ProcessesTest, WhatIsNotAlikeIsNamed) {
  together(3, [](Processes& processes) {
    Json mine = {{"settings", {{"lr", 0.5}, {"seed", 1}}}, {"step", 4}};
    EXPECT_TRUE(processes.alike(mine).ok());
    if (processes.rank() == 2) mine["settings"]["lr"] = 0.25;
    const Status status = processes.alike(mine);
    EXPECT_EQ(status.code(), StatusCode::failed_precondition);
    EXPECT_EQ(status.message(),
              "process 2 of 3 trains something else than the first one: settings: lr is 0.25, expected 0.5");
  });
}

TEST_F(ProcessesTest, OneThatIsGoneIsNoticed) {
  const auto begin = std::chrono::steady_clock::now();
  together(3, [](Processes& processes) {
    if (processes.rank() == 1) return;  // ends
    Tensor numbers = torch::ones({3});
    Status status = processes.sum(numbers);
    // One that has its numbers already may not have noticed yet.
    if (status.ok()) status = processes.sum(numbers);
    EXPECT_EQ(status.code(), StatusCode::io_error);
    EXPECT_THAT(std::string(status.message()), HasSubstr("has lost another one: "));
    EXPECT_TRUE(processes.lost());
  });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kTimeout + std::chrono::seconds(10));
}

TEST_F(ProcessesTest, APortThatIsTakenIsNamed) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(socket, 1), 0);
  ASSERT_EQ(getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ProcessPlace place;
  place.size = 2;
  place.port = ntohs(address.sin_port);
  const auto joined = Processes::join(place, std::chrono::seconds(2));
  close(socket);
  ASSERT_FALSE(joined);
  EXPECT_THAT(
      std::string(joined.status().message()),
      AllOf(HasSubstr("process 0 of 2 cannot join the others at 127.0.0.1:" + std::to_string(place.port)),
            HasSubstr("in use")));
}

/// Two parameters, one of them larger than what is summed in one go.
struct Model : torch::nn::Module {
  Model() {
    small = register_parameter("small", torch::zeros({3}));
    large = register_parameter("large", torch::zeros({(1 << 22) + 5}));
    unused = register_parameter("unused", torch::zeros({2}));
  }
  Tensor small, large, unused;
};

TEST_F(ProcessesTest, GradientsAreSummedWhereverTheyAre) {
  together(3, [](Processes& processes) {
    Model model;
    const auto rank = static_cast<float>(processes.rank());
    if (processes.rank() != 1) model.small.mutable_grad() = torch::full({3}, rank + 1);
    model.large.mutable_grad() = torch::arange((1 << 22) + 5, torch::kFloat) * (rank + 1);
    const auto all = brought_together(processes, model, {0.25 * rank, processes.rank() == 2, {}});
    ASSERT_TRUE(all) << all.status().message();
    EXPECT_EQ(all->loss, 0.75);
    EXPECT_TRUE(all->stop);
    EXPECT_TRUE(torch::equal(model.small.grad(), torch::full({3}, 4.0F)));
    EXPECT_TRUE(torch::equal(model.large.grad(), torch::arange((1 << 22) + 5, torch::kFloat) * 6));
    EXPECT_FALSE(model.unused.grad().defined());
  });
}

TEST_F(ProcessesTest, ANaNOfOneIsThatOfAll) {
  together(2, [](Processes& processes) {
    Model model;
    model.small.mutable_grad() = torch::ones({3});
    if (processes.rank() == 1) model.small.mutable_grad()[1] = std::nanf("");
    ASSERT_TRUE(brought_together(processes, model, {}));
    EXPECT_TRUE(std::isnan(model.small.grad()[1].item<float>()));
    EXPECT_EQ(model.small.grad()[0].item<float>(), 2.0F);
  });
}

TEST_F(ProcessesTest, WhoCannotGoOnEndsTheUpdateOfAll) {
  together(2, [](Processes& processes) {
    Model model;
    UpdatePart here;
    if (processes.rank() == 1) here.status = {StatusCode::corrupt_data, "no picture"};
    const auto all = brought_together(processes, model, here);
    ASSERT_FALSE(all);
    EXPECT_EQ(all.status().message(), "no picture");
  });
}

/// Threads must not share a generator.
Tensor drawn(std::uint64_t seed) {
  return torch::randn({8, 4, 3, 3}, at::detail::createCPUGenerator(seed));
}

/// The statistics of a norm after three updates of `count` micro-batches, of which each process sees its own.
std::vector<Tensor> statistics(Processes& processes, std::int64_t count, bool shared) {
  torch::nn::Sequential model(torch::nn::BatchNorm2d(4));
  SharedNormStatistics norms(*model);
  for (int update = 0; update < 3; ++update) {
    norms.begin_update();
    for (std::int64_t i = 0; i < count; ++i) {
      const Tensor input = drawn(static_cast<std::uint64_t>(100 * update + i)) * (1 + i) + update;
      if (i % processes.size() != processes.rank()) continue;
      if (shared) norms.begin_micro_batch();
      model->forward(input);
      if (shared) norms.end_micro_batch(i, count);
    }
    if (shared) norms.end_update(processes, count).check();
  }
  const auto* const norm = model[0]->as<torch::nn::BatchNorm2d>();
  return {norm->running_mean, norm->running_var, norm->num_batches_tracked};
}

TEST(SharedNormStatisticsTest, AreThoseOfOneProcess) {
  Processes alone;
  const std::vector<Tensor> expected = statistics(alone, 6, false);
  const auto distance = [&](const std::vector<Tensor>& found) {
    double largest = 0.0;
    for (std::size_t i = 0; i < 2; ++i)
      largest =
          std::max(largest, ((found[i] - expected[i]).abs() / expected[i].abs().max()).max().item<double>());
    return largest;
  };
  // Eighteen roundings to float32, each of half a unit in the last place.
  const double tolerance = 18 * 0x1p-24;
  EXPECT_LE(distance(statistics(alone, 6, true)), tolerance);
  if (!has_gloo()) GTEST_SKIP() << "built without Gloo";
  for (const int size : {2, 3, 4}) {
    std::vector<std::vector<Tensor>> found(static_cast<std::size_t>(size));
    std::vector<std::vector<Tensor>> own(static_cast<std::size_t>(size));
    together(size, [&](Processes& processes) {
      const auto rank = static_cast<std::size_t>(processes.rank());
      found[rank] = statistics(processes, 6, true);
      own[rank] = statistics(processes, 6, false);
    });
    for (std::size_t rank = 0; rank < found.size(); ++rank) {
      EXPECT_LE(distance(found[rank]), tolerance) << rank << " of " << size;
      EXPECT_EQ(found[rank][2].item<std::int64_t>(), expected[2].item<std::int64_t>());
      for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(torch::equal(found[rank][i], found[0][i]));
      // The control: each with what it has seen itself.
      EXPECT_GT(distance(own[rank]), 1000 * tolerance);
    }
  }
}

}  // namespace
}  // namespace gradstab::lab
