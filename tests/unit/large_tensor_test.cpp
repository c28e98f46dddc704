// More than 2^31 elements, in memory that exists as address space only.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <string>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

#if defined(__SANITIZE_THREAD__)
#define GRADSTAB_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define GRADSTAB_THREAD_SANITIZER 1
#endif
#endif

namespace gradstab {
namespace {

using testing::Values;

constexpr std::int64_t kBeyond = (std::int64_t{1} << 31) + 5;

/// Private memory that nobody has written: it reads as the kernel's one page of zeros and takes up none until
/// it is written.
class Untouched {
 public:
  explicit Untouched(std::size_t bytes)
      : bytes_(bytes),
        data_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                   0)) {}
  ~Untouched() {
    if (*this) munmap(data_, bytes_);
  }
  Untouched(const Untouched&) = delete;
  Untouched& operator=(const Untouched&) = delete;

  explicit operator bool() const { return data_ != MAP_FAILED; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  std::size_t bytes_;
  void* data_;
};

/// Memory that this process really has, in MiB.
double resident_mib() {
  std::ifstream statm("/proc/self/statm");
  double size = 0.0;
  double resident = 0.0;
  statm >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

/// Says how much memory a test took, and that it was little.
class ResidentMemory {
 public:
  ~ResidentMemory() {
    const double grown = resident_mib() - before_;
    ::testing::Test::RecordProperty("resident_mib", std::to_string(grown));
    std::cout << "took " << grown << " MiB of memory\n";
    EXPECT_LT(grown, 64.0);
  }

 private:
  double before_ = resident_mib();
};

#define GRADSTAB_SKIP_WITHOUT(memory, bytes) \
  if (!(memory)) GTEST_SKIP() << "the system gives no " << (bytes) << " bytes of address space"

/// Three elements, 8 GiB apart.
TEST(LargeTensorTest, OffsetsBeyondTwoToThe31Elements) {
  constexpr std::size_t kBytes = (2 * kBeyond + 1) * sizeof(float);
  const ResidentMemory watch;
  const Untouched memory(kBytes);
  GRADSTAB_SKIP_WITHOUT(memory, kBytes);
  auto* elements = memory.as<float>();
  const float values[] = {2.0f, -3.0f, 6.0f};
  for (std::int64_t i = 0; i < 3; ++i) elements[i * kBeyond] = values[i];
  elements[kBeyond + 1] = 100.0f;  // a neighbour that belongs to nobody
  const std::vector<std::int64_t> sizes = {3};
  const std::vector<std::int64_t> strides = {kBeyond};
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(testing::parameter_set_of_sizes({sizes})).ok());
  const TensorRef ref{.data = elements, .dtype = DType::float32, .sizes = sizes, .strides = strides};
  const auto report = transform.update({&ref, 1});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->tensors[0].raw_norm, 7.0);
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(elements[i * kBeyond], static_cast<float>(values[i] * report->tensors[0].factor)) << i;
  }
  EXPECT_EQ(elements[kBeyond + 1], 100.0f);
}

TEST(LargeTensorTest, RowsBeyondTwoToThe31Elements) {
  constexpr std::size_t kBytes = (2 * kBeyond + 4) * sizeof(double);
  const ResidentMemory watch;
  const Untouched memory(kBytes);
  GRADSTAB_SKIP_WITHOUT(memory, kBytes);
  auto* elements = memory.as<double>();
  for (std::int64_t row = 0; row < 3; ++row) {
    for (std::int64_t i = 0; i < 4; ++i) elements[row * kBeyond + i] = static_cast<double>(1 + row);
  }
  const std::vector<std::int64_t> sizes = {3, 4};
  const std::vector<std::int64_t> strides = {kBeyond, 1};
  GradientTransform transform = stabilize({}, Units::per_row());
  ASSERT_TRUE(transform.init(testing::parameter_set_of_sizes({sizes})).ok());
  const TensorRef ref{.data = elements, .dtype = DType::float64, .sizes = sizes, .strides = strides};
  const auto report = transform.update({&ref, 1});
  ASSERT_TRUE(report.ok());
  for (std::int64_t row = 0; row < 3; ++row) {
    EXPECT_EQ(report->rows[static_cast<std::size_t>(row)].raw_norm, 2.0 * static_cast<double>(1 + row));
    EXPECT_NEAR(elements[row * kBeyond + 3], 0.5, 4 * 0x1p-53) << "each row has a stabilized norm of 1";
  }
}

/// The last element of one is the first of the other. Refused before anything is read.
TEST(LargeTensorTest, SharedMemoryBeyondTwoToThe31Elements) {
  constexpr std::size_t kBytes = (kBeyond + 3) * sizeof(float);
  const Untouched memory(kBytes);
  GRADSTAB_SKIP_WITHOUT(memory, kBytes);
  const std::vector<std::int64_t> many = {kBeyond};
  const std::vector<std::int64_t> four = {4};
  GradientTransform transform = record_norms();
  ASSERT_TRUE(transform.init(testing::parameter_set_of_sizes({many, four})).ok());
  const TensorRef all{.data = memory.as<float>(), .dtype = DType::float32, .sizes = many, .strides = {}};
  const TensorRef last{
      .data = memory.as<float>() + kBeyond - 1, .dtype = DType::float32, .sizes = four, .strides = {}};
  EXPECT_EQ(transform.update(std::vector<TensorRef>{all, last}).status().message(),
            "gradients of 't0' and 't1' share memory and would be transformed twice; register them once");
}

/// Every one of them is read.
TEST(LargeTensorTest, CountsBeyondTwoToThe31Elements) {
#if defined(GRADSTAB_THREAD_SANITIZER)
  GTEST_SKIP() << "ThreadSanitizer keeps a shadow of everything that is read, four times its size";
#endif
  constexpr std::size_t kBytes = kBeyond * size_of(DType::bfloat16);
  const ResidentMemory watch;
  const Untouched memory(kBytes);
  GRADSTAB_SKIP_WITHOUT(memory, kBytes);
  auto* elements = memory.as<BFloat16>();
  elements[7] = to_bfloat16(3.0);
  elements[kBeyond - 1] = to_bfloat16(-4.0);
  const std::vector<std::int64_t> sizes = {kBeyond};
  const TensorRef ref{.data = elements, .dtype = DType::bfloat16, .sizes = sizes, .strides = {}};
  GradientTransform transform = record_norms();
  ASSERT_TRUE(transform.init(testing::parameter_set_of_sizes({sizes})).ok());
  const auto report = transform.update({&ref, 1});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->tensors[0].raw_norm, 5.0) << "both ends were seen, and nothing else";
}

}  // namespace
}  // namespace gradstab
