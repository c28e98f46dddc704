#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "gradstab/backend.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

/// Sets GRADSTAB_BACKEND for one test.
class BackendVariable {
 public:
  explicit BackendVariable(const char* value) {
    if (const char* before = std::getenv(kName)) before_ = before;
    setenv(kName, value, 1);
  }
  ~BackendVariable() { before_.empty() ? unsetenv(kName) : setenv(kName, before_.c_str(), 1); }
  BackendVariable(const BackendVariable&) = delete;
  BackendVariable& operator=(const BackendVariable&) = delete;

 private:
  static constexpr const char* kName = "GRADSTAB_BACKEND";
  std::string before_;
};

TEST(BackendRegistryTest, TheObviousBackendIsFirstAndRunsEverywhere) {
  ASSERT_FALSE(backends().empty());
  EXPECT_EQ(backends().front()->name(), "reference");
  EXPECT_TRUE(backends().front()->supported());
}

TEST(BackendRegistryTest, EverySupportedBackendIsFoundByItsNameAndReallyRuns) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{4}});
  for (const Backend* backend : backends()) {
    const auto found = find_backend(backend->name());
    if (!backend->supported()) {
      EXPECT_EQ(found.status().code(), StatusCode::unsupported);
      continue;
    }
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(*found, backend);
    GradientTransform transform = stabilize();
    EXPECT_EQ(transform.backend_name(), "");
    ASSERT_TRUE(transform.init(parameters, {.backend = std::string(backend->name())}).ok());
    EXPECT_EQ(transform.backend_name(), backend->name());
  }
}

TEST(BackendRegistryTest, AnUnknownNameListsTheKnownOnes) {
  const auto found = find_backend("warp-drive");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.status().code(), StatusCode::invalid_argument);
  EXPECT_NE(found.status().message().find("unknown backend 'warp-drive'; known are reference"),
            std::string::npos)
      << found.status().message();
  EXPECT_EQ(stabilize().init({}, {.backend = "warp-drive"}).message(), found.status().message());
}

TEST(BackendRegistryTest, TheEnvironmentVariableForcesABackend) {
  const BackendVariable forced("reference");
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init({}).ok());
  EXPECT_EQ(transform.backend_name(), "reference");
}

TEST(BackendRegistryTest, AnUnknownNameInTheEnvironmentIsAnErrorAndNotIgnored) {
  const BackendVariable forced("warp-drive");
  EXPECT_EQ(find_backend().status().code(), StatusCode::invalid_argument);
  EXPECT_TRUE(find_backend("reference").ok()) << "a name given by the program needs no variable";
}

TEST(BackendRegistryTest, WithoutANameTheLastSupportedBackendIsTaken) {
  const BackendVariable none("");
  const Backend* last = nullptr;
  for (const Backend* backend : backends()) last = backend->supported() ? backend : last;
  EXPECT_EQ(find_backend().value(), last);
}

}  // namespace
}  // namespace gradstab
