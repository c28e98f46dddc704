// Every call with every one of its allocations failing: a status, no exception, nothing lost, nothing leaked.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "gradstab/recorder.h"
#include "limited_memory.hpp"
#include "support.hpp"

namespace gradstab::testing {
namespace {

constexpr std::int64_t kSizes[] = {2, 3};
// Names beyond what a string holds in place.
const gradstab_parameter kLongNames[] = {{"model.layers.0.attention.query.weight", 2, kSizes},
                                         {"model.layers.0.attention.value.weight", 2, kSizes}};

class COutOfMemoryTest : public LimitedMemoryTest {
 protected:
  static Handle ready() {
    Handle transform = make_stabilizer();
    EXPECT_TRUE(accepted(gradstab_init(transform.get(), kLongNames, 2, nullptr), transform.get()));
    return transform;
  }

  static gradstab_status step(gradstab_transform* transform, float first = 1) {
    float a[6] = {first, 2, 3, 4, 5, 6};
    float b[6] = {6, 5, 4, 3, 2, 1};
    void* const data[] = {a, b};
    gradstab_step_report report = {};
    report.struct_size = sizeof report;
    return gradstab_update_pointers(transform, data, 2, GRADSTAB_FLOAT32, GRADSTAB_NO_STEP, &report);
  }
};
INSTANTIATE_TEST_SUITE_P(, COutOfMemoryTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "OneFails" : "AllFromThenOnFail"; });

TEST_P(COutOfMemoryTest, Making) {
  const char* const patterns[] = {"model.layers.0.attention.*"};
  const gradstab_unit_group group = {"a group with a name that is long", patterns, 1};
  gradstab_units units = {};
  units.struct_size = sizeof units;
  units.granularity = GRADSTAB_PER_GROUP;
  units.groups = &group;
  units.group_count = 1;
  gradstab_transform* made = nullptr;
  const auto check = [&] {
    EXPECT_EQ(made, nullptr);
    EXPECT_STREQ(gradstab_last_error(nullptr), "out of memory");
  };
  const auto destroy = [&] { gradstab_destroy(std::exchange(made, nullptr)); };
  EXPECT_GT(sweep(
                destroy, [&] { return gradstab_stabilize(nullptr, &units, &made); }, check),
            3);
  EXPECT_GT(sweep(
                destroy, [&] { return gradstab_record_norms(4.0, &units, &made); }, check),
            3);
  EXPECT_GT(sweep(
                destroy, [&] { return gradstab_clip_by_global_norm(1.0, 0, &made); }, check),
            1);
  destroy();
}

TEST_P(COutOfMemoryTest, Chaining) {
  gradstab_transform* links[2] = {};
  gradstab_transform* chain = nullptr;
  const auto destroy = [&] {
    gradstab_destroy(std::exchange(chain, nullptr));
    for (gradstab_transform*& link : links) gradstab_destroy(std::exchange(link, nullptr));
  };
  int lost = 0;
  const int failures = sweep(
      [&] {
        destroy();
        links[0] = make_clipper(1.0).release();
        links[1] = make_stabilizer().release();
      },
      [&] {
        const gradstab_status status = gradstab_chain(links, 2, &chain);
        if (status == GRADSTAB_OK) links[0] = links[1] = nullptr;
        return status;
      },
      [&] {
        EXPECT_EQ(chain, nullptr);
        // Each link is what it was, or says that it is lost; it is never something else.
        for (gradstab_transform* link : links) {
          const gradstab_status status = gradstab_init(link, kLongNames, 2, nullptr);
          if (status == GRADSTAB_OK) continue;
          ++lost;
          EXPECT_TRUE(refused(status, GRADSTAB_FAILED_PRECONDITION, link,
                              "the transform was lost when gradstab_chain ran out of memory"));
        }
        if (lost > 0) {
          EXPECT_TRUE(refused(gradstab_chain(links, 2, &chain), GRADSTAB_FAILED_PRECONDITION, nullptr,
                              "link 0 was lost when gradstab_chain ran out of memory"));
        }
      });
  EXPECT_GT(failures, 3);
  EXPECT_GT(lost, 0);
  EXPECT_EQ(gradstab_init(chain, kLongNames, 2, nullptr), GRADSTAB_OK);
  destroy();
}

TEST_P(COutOfMemoryTest, Initialising) {
  Handle transform = make_stabilizer();
  gradstab_run_options options = {};
  options.struct_size = sizeof options;
  options.threads = 2;
  EXPECT_GT(sweep(
                nothing, [&] { return gradstab_init(transform.get(), kLongNames, 2, &options); },
                [&] {
                  EXPECT_STREQ(gradstab_last_error(transform.get()), "out of memory");
                  EXPECT_EQ(step(transform.get()), GRADSTAB_FAILED_PRECONDITION);
                }),
            10);
  EXPECT_EQ(step(transform.get()), GRADSTAB_OK);
}

TEST_P(COutOfMemoryTest, AStepNeedsNone) {
  const Handle transform = ready();
  EXPECT_EQ(sweep(
                nothing, [&] { return step(transform.get()); }, nothing),
            0);
}

TEST_P(COutOfMemoryTest, ARefusedStepSaysSoAllTheSame) {
  const Handle transform = ready();
  for (int n = 0; n < 10; ++n) {
    limit_memory(n, GetParam());
    const gradstab_status status =
        gradstab_update_pointers(transform.get(), nullptr, 1, GRADSTAB_FLOAT32, 1, nullptr);
    unlimit_memory();
    EXPECT_TRUE(status == GRADSTAB_SHAPE_MISMATCH || status == GRADSTAB_OUT_OF_MEMORY) << status;
    EXPECT_STRNE(gradstab_last_error(transform.get()), "");
  }
}

TEST_P(COutOfMemoryTest, Rebinding) {
  Handle transform;
  std::vector<unsigned char> before;
  const gradstab_parameter more[] = {kLongNames[1], {"model.layers.1.attention.query.weight", 2, kSizes}};
  int gone = 0;
  const int failures = sweep(
      [&] {
        transform = ready();
        EXPECT_EQ(step(transform.get()), GRADSTAB_OK);
        before = saved(transform.get());
      },
      [&] { return gradstab_rebind(transform.get(), more, 2); },
      [&] {
        // What it was; or, where there was no memory to go back, not initialised and saying so.
        void* bytes = nullptr;
        std::size_t size = 0;
        if (gradstab_save(transform.get(), &bytes, &size) == GRADSTAB_OK) {
          gradstab_free(bytes);
          EXPECT_EQ(saved(transform.get()), before);
          EXPECT_EQ(step(transform.get()), GRADSTAB_OK);
        } else {
          ++gone;
          EXPECT_EQ(step(transform.get()), GRADSTAB_FAILED_PRECONDITION);
          EXPECT_EQ(gradstab_init(transform.get(), kLongNames, 2, nullptr), GRADSTAB_OK);
        }
      });
  EXPECT_GT(failures, 10);
  EXPECT_EQ(gone > 0, !GetParam()) << "a single failure can be recovered from";
}

TEST_P(COutOfMemoryTest, Saving) {
  const Handle transform = ready();
  void* bytes = nullptr;
  std::size_t size = 0;
  EXPECT_GT(sweep(
                nothing, [&] { return gradstab_save(transform.get(), &bytes, &size); },
                [&] {
                  EXPECT_EQ(bytes, nullptr);
                  EXPECT_EQ(size, 0u);
                }),
            5);
  gradstab_free(bytes);
}

TEST_P(COutOfMemoryTest, Loading) {
  const Handle source = ready();
  EXPECT_EQ(step(source.get(), 7), GRADSTAB_OK);
  const auto state = saved(source.get());
  Handle target;
  std::vector<unsigned char> before;
  int gone = 0;
  const int failures = sweep(
      [&] {
        target = ready();
        EXPECT_EQ(step(target.get()), GRADSTAB_OK);
        before = saved(target.get());
      },
      [&] { return gradstab_load(target.get(), state.data(), state.size()); },
      [&] {
        void* bytes = nullptr;
        std::size_t size = 0;
        if (gradstab_save(target.get(), &bytes, &size) == GRADSTAB_OK) {
          gradstab_free(bytes);
          EXPECT_EQ(saved(target.get()), before);
        } else {
          ++gone;
          EXPECT_EQ(step(target.get()), GRADSTAB_FAILED_PRECONDITION);
        }
      });
  EXPECT_GT(failures, 10);
  EXPECT_EQ(gone > 0, !GetParam()) << "a single failure can be recovered from";
  EXPECT_EQ(saved(target.get()), state);
}

TEST_P(COutOfMemoryTest, Files) {
  const Handle source = ready();
  EXPECT_EQ(step(source.get(), 7), GRADSTAB_OK);
  const std::string path =
      ::testing::TempDir() + "/gradstab_c_abi_out_of_memory_" + (GetParam() ? "one" : "all") + ".gradstab";
  EXPECT_GT(sweep([&] { std::remove(path.c_str()); },
                  [&] { return gradstab_save_file(source.get(), path.c_str()); },
                  [&] { EXPECT_EQ(files_beginning_with(path), 0) << "a file was left"; }),
            5);
  Handle target;
  EXPECT_GT(sweep([&] { target = ready(); }, [&] { return gradstab_load_file(target.get(), path.c_str()); },
                  nothing),
            10);
  EXPECT_EQ(saved(target.get()), saved(source.get()));
  std::remove(path.c_str());
}

TEST_P(COutOfMemoryTest, Recording) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("gradstab_oom_" + std::to_string(getpid()) + ".gsnorms"))
          .string();
  std::filesystem::remove(path);
  gradstab_recorder* recorder = nullptr;
  const auto destroy = [&] { gradstab_recorder_destroy(std::exchange(recorder, nullptr)); };
  EXPECT_GT(
      sweep(
          destroy, [&] { return gradstab_recorder_open(path.c_str(), kLongNames, 2, nullptr, &recorder); },
          [&] {
            EXPECT_EQ(recorder, nullptr);
            EXPECT_STREQ(gradstab_recorder_last_error(nullptr), "out of memory");
          }),
      5);
  float a[6] = {1, 2, 3, 4, 5, 6};
  void* const data[] = {a, a + 3};
  const gradstab_parameter rows[] = {{kLongNames[0].name, 1, kSizes + 1},
                                     {kLongNames[1].name, 1, kSizes + 1}};
  ASSERT_EQ(gradstab_recorder_rebind(recorder, rows, 2), GRADSTAB_OK);
  const auto record = [&] {
    return gradstab_recorder_record_pointers(recorder, data, 2, GRADSTAB_FLOAT32, GRADSTAB_NO_STEP, nullptr);
  };
  const auto size = std::filesystem::file_size(path);
  // The first step has a header with it.
  EXPECT_GT(sweep(nothing, record, [&] { EXPECT_EQ(std::filesystem::file_size(path), size); }), 3);
  const auto with_header = std::filesystem::file_size(path);
  EXPECT_GT(with_header, size);
  EXPECT_EQ(sweep(nothing, record, nothing), 0) << "a later one needs no memory";
  EXPECT_GT(std::filesystem::file_size(path), with_header);
  destroy();
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace gradstab::testing
