// Which of several processes this is, by the variables of launchers.
#include "lab/train/process_place.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace gradstab::lab {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Values = std::map<std::string, std::string>;

Result<ProcessPlace> place(const Values& values) {
  return process_place([&](const char* name) -> const char* {
    const auto found = values.find(name);
    return found == values.end() ? nullptr : found->second.c_str();
  });
}

TEST(ProcessPlaceTest, WithoutALauncherOneIsAlone) {
  for (const Values& values : {Values(), Values{{"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}},
                               // In a batch script of Slurm, which is one process.
                               Values{{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_JOB_ID", "7"}}}) {
    const auto found = place(values);
    ASSERT_TRUE(found) << found.status().message();
    EXPECT_EQ(found->size, 1);
    EXPECT_TRUE(found->is_first());
  }
}

TEST(ProcessPlaceTest, TorchrunSaysWhereTheFirstOneIs) {
  const auto found = place({{"RANK", "3"},
                            {"WORLD_SIZE", "8"},
                            {"LOCAL_WORLD_SIZE", "4"},
                            {"MASTER_ADDR", "node7"},
                            {"MASTER_PORT", "29500"}});
  ASSERT_TRUE(found) << found.status().message();
  EXPECT_EQ(found->rank, 3);
  EXPECT_EQ(found->size, 8);
  EXPECT_EQ(found->local_size, 4);
  EXPECT_EQ(found->launcher, "torchrun");
  EXPECT_EQ(found->address, "node7");
  EXPECT_EQ(found->port, 29501) << "on its own port torchrun may be listening itself";
}

TEST(ProcessPlaceTest, OnOneMachineMpiNeedsNothingElse) {
  const Values job = {{"OMPI_COMM_WORLD_RANK", "1"},
                      {"OMPI_COMM_WORLD_SIZE", "2"},
                      {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                      {"PMIX_NAMESPACE", "2917924865"}};
  const auto found = place(job);
  ASSERT_TRUE(found) << found.status().message();
  EXPECT_EQ(found->rank, 1);
  EXPECT_EQ(found->launcher, "mpirun");
  EXPECT_EQ(found->address, "127.0.0.1");
  EXPECT_GE(found->port, 20000);
  EXPECT_LT(found->port, 32000);
  EXPECT_EQ(place(job)->port, found->port) << "all of a job have the same";
  Values other = job;
  other["PMIX_NAMESPACE"] = "2917924866";
  EXPECT_NE(place(other)->port, found->port);
  // Given, it counts as it is.
  other["MASTER_PORT"] = "4000";
  EXPECT_EQ(place(other)->port, 4000);
}

TEST(ProcessPlaceTest, OnSeveralMachinesTheAddressMustBeGiven) {
  Values job = {{"OMPI_COMM_WORLD_RANK", "1"},
                {"OMPI_COMM_WORLD_SIZE", "4"},
                {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                {"PMIX_NAMESPACE", "1"}};
  EXPECT_THAT(place(job).status().message(),
              AllOf(HasSubstr("4 processes are on several machines"), HasSubstr("MASTER_ADDR")));
  job["MASTER_ADDR"] = "node1";
  EXPECT_EQ(place(job)->address, "node1");
  const Values step = {
      {"SLURM_PROCID", "2"}, {"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_STEP_TASKS_PER_NODE", "4(x2)"}};
  EXPECT_THAT(place(step).status().message(), HasSubstr("8 processes are on several machines"));
}

TEST(ProcessPlaceTest, ASlurmStepOnOneMachine) {
  const auto found =
      place({{"SLURM_PROCID", "2"}, {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_STEP_TASKS_PER_NODE", "4"}});
  ASSERT_TRUE(found) << found.status().message();
  EXPECT_EQ(found->rank, 2);
  EXPECT_EQ(found->size, 4);
  EXPECT_EQ(found->launcher, "srun");
}

TEST(ProcessPlaceTest, WhatIsNoNumberIsNamed) {
  const auto message = [](const char* rank, const char* size, const char* port) {
    return std::string(
        place({{"RANK", rank}, {"WORLD_SIZE", size}, {"MASTER_PORT", port}}).status().message());
  };
  EXPECT_EQ(message("x", "2", "1"), "the environment variable RANK must be a number from 0 to 1, got 'x'");
  EXPECT_EQ(message("2", "2", "1"), "the environment variable RANK must be a number from 0 to 1, got '2'");
  EXPECT_EQ(message("0", "-1", "1"),
            "the environment variable WORLD_SIZE must be a number from 1 to 1048576, got '-1'");
  EXPECT_EQ(message("0", "2", "70000"),
            "the environment variable MASTER_PORT must be a number from 1 to 65534, got '70000'");
}

}  // namespace
}  // namespace gradstab::lab
