// What belongs to no transform: version, names, backends; and where messages are kept.
#include <gtest/gtest.h>

#include <thread>

#include "gradstab/backend.hpp"
#include "gradstab/export.hpp"
#include "support.hpp"

namespace gradstab::testing {
namespace {

TEST(CLibraryTest, VersionsAreThoseOfTheHeaders) {
  EXPECT_STREQ(gradstab_version_string(), GRADSTAB_VERSION);
  EXPECT_EQ(gradstab_abi_version(), GRADSTAB_ABI_VERSION);
}

TEST(CLibraryTest, StatusNamesAreThoseOfStatusCode) {
  for (gradstab_status status = GRADSTAB_OK; status <= GRADSTAB_IO_ERROR; ++status) {
    EXPECT_EQ(gradstab_status_name(status), to_string(static_cast<StatusCode>(status))) << status;
    EXPECT_STRNE(gradstab_status_name(status), "unknown") << status;
  }
  EXPECT_STREQ(gradstab_status_name(GRADSTAB_OUT_OF_MEMORY), "out_of_memory");
  EXPECT_STREQ(gradstab_status_name(GRADSTAB_INTERNAL_ERROR), "internal_error");
  for (const gradstab_status status : {-1, GRADSTAB_IO_ERROR + 1, 99, 102, INT32_MAX, INT32_MIN}) {
    EXPECT_STREQ(gradstab_status_name(status), "unknown") << status;
  }
}

TEST(CLibraryTest, ListsTheBackends) {
  ASSERT_EQ(gradstab_backend_count(), backends().size());
  for (std::size_t i = 0; i < backends().size(); ++i) {
    const char* name = nullptr;
    std::int32_t supported = -1;
    EXPECT_TRUE(accepted(gradstab_backend_info(i, &name, &supported)));
    EXPECT_EQ(name, backends()[i]->name());
    EXPECT_EQ(supported, backends()[i]->supported() ? 1 : 0);
    EXPECT_TRUE(accepted(gradstab_backend_info(i, &name, nullptr)));
  }
}

TEST(CLibraryTest, RefusesABackendThatIsNotThere) {
  const std::size_t count = gradstab_backend_count();
  const char* name = "before";
  EXPECT_TRUE(refused(
      gradstab_backend_info(count, &name, nullptr), GRADSTAB_INVALID_ARGUMENT, nullptr,
      "there is no backend " + std::to_string(count) + "; this library has " + std::to_string(count)));
  EXPECT_EQ(name, nullptr);
  EXPECT_TRUE(refused(gradstab_backend_info(0, nullptr, nullptr), GRADSTAB_INVALID_ARGUMENT, nullptr,
                      "name is NULL, expected a const char*"));
}

TEST(CLibraryTest, FreeingNothingIsFine) {
  gradstab_free(nullptr);
  gradstab_destroy(nullptr);
}

TEST(CLastErrorTest, IsKeptPerTransformAndClearedBySuccess) {
  const Handle one = initialised();
  const Handle other = initialised();
  EXPECT_TRUE(refused(gradstab_load(one.get(), nullptr, 0), GRADSTAB_INVALID_ARGUMENT, one.get(),
                      "bytes is NULL, expected a saved state"));
  EXPECT_STREQ(gradstab_last_error(other.get()), "");
  EXPECT_STREQ(gradstab_last_error(nullptr), "");
  std::size_t count = 0;
  EXPECT_EQ(gradstab_parameter_count(one.get(), &count), GRADSTAB_OK);
  EXPECT_STREQ(gradstab_last_error(one.get()), "");
}

TEST(CLastErrorTest, WithoutATransformIsKeptPerThread) {
  EXPECT_NE(gradstab_backend_info(0, nullptr, nullptr), GRADSTAB_OK);
  const std::string here = gradstab_last_error(nullptr);
  EXPECT_NE(here, "");
  std::string there_before = "unset";
  std::string there_after;
  std::thread([&] {
    there_before = gradstab_last_error(nullptr);
    gradstab_stabilize(nullptr, nullptr, nullptr);
    there_after = gradstab_last_error(nullptr);
  }).join();
  EXPECT_EQ(there_before, "");
  EXPECT_EQ(there_after, "transform is NULL, expected where to put the new one");
  EXPECT_EQ(gradstab_last_error(nullptr), here);
}

/// Every function that takes a transform, given none.
TEST(CLastErrorTest, AMissingTransformIsNamedByEveryFunction) {
  const char* name = nullptr;
  void* bytes = nullptr;
  std::size_t number = 0;
  const Pair gradients;
  const gradstab_status all[] = {
      gradstab_transform_name(nullptr, &name),
      gradstab_init(nullptr, kParameters, 2, nullptr),
      gradstab_rebind(nullptr, kParameters, 2),
      gradstab_parameter_count(nullptr, &number),
      gradstab_parameter_name(nullptr, 0, &name),
      gradstab_backend_in_use(nullptr, &name),
      gradstab_update(nullptr, gradients.tensors, 2, 1, nullptr),
      gradstab_update_pointers(nullptr, gradients.pointers, 2, GRADSTAB_FLOAT32, 1, nullptr),
      gradstab_nonfinite_tensors(nullptr, nullptr, 0, &number),
      gradstab_save(nullptr, &bytes, &number),
      gradstab_load(nullptr, "x", 1),
      gradstab_save_file(nullptr, "x"),
      gradstab_load_file(nullptr, "x"),
  };
  for (const gradstab_status status : all) {
    EXPECT_TRUE(
        refused(status, GRADSTAB_INVALID_ARGUMENT, nullptr, "transform is NULL, expected a transform"));
  }
}

/// Every function that needs gradstab_init before it.
TEST(CLastErrorTest, AMissingInitIsNamedByEveryFunction) {
  const Handle transform = make_stabilizer();
  const char* name = nullptr;
  void* bytes = nullptr;
  std::size_t number = 0;
  const Pair gradients;
  const auto expect = [&](gradstab_status status, const std::string& function) {
    EXPECT_TRUE(refused(status, GRADSTAB_FAILED_PRECONDITION, transform.get(),
                        function + " was called before a successful gradstab_init"));
  };
  gradstab_transform* const t = transform.get();
  expect(gradstab_rebind(t, kParameters, 2), "gradstab_rebind");
  expect(gradstab_parameter_count(t, &number), "gradstab_parameter_count");
  expect(gradstab_parameter_name(t, 0, &name), "gradstab_parameter_name");
  expect(gradstab_backend_in_use(t, &name), "gradstab_backend_in_use");
  expect(gradstab_update(t, gradients.tensors, 2, 1, nullptr), "gradstab_update");
  expect(gradstab_update_pointers(t, gradients.pointers, 2, GRADSTAB_FLOAT32, 1, nullptr),
         "gradstab_update_pointers");
  expect(gradstab_nonfinite_tensors(t, nullptr, 0, &number), "gradstab_nonfinite_tensors");
  expect(gradstab_save(t, &bytes, &number), "gradstab_save");
  expect(gradstab_load(t, "x", 1), "gradstab_load");
  expect(gradstab_save_file(t, "x"), "gradstab_save_file");
  expect(gradstab_load_file(t, "x"), "gradstab_load_file");
}

}  // namespace
}  // namespace gradstab::testing
