/// GradientStabilizer and the fused optimizers on a CUDA device. docs/cuda.md is the manual.
///
/// Life: an object is made from a transform or an optimizer by gradstab_cuda_transform or
/// gradstab_cuda_optimizer, bound to named parameters by gradstab_cuda_init, called once per step with device
/// memory and a stream, and freed by gradstab_cuda_destroy.
///
/// Calls with a stream argument are asynchronous unless they say otherwise: nothing in a step waits for the
/// device. A stream is a cudaStream_t, which is a CUstream, passed as void*; NULL is the device's default
/// stream. A step may be captured in a CUDA graph and replayed.
///
/// What gradstab.h says about errors, threads and compatibility holds here too, with gradstab_cuda_last_error
/// instead of gradstab_last_error. After GRADSTAB_IO_ERROR, which is an error of the device or its driver,
/// nothing can be relied on. A library that was built without CUDA has all these functions, and
/// gradstab_cuda_init then returns GRADSTAB_UNSUPPORTED unless `emulate` is 1.
#ifndef GRADSTAB_CUDA_H
#define GRADSTAB_CUDA_H

#include "gradstab/optimizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gradstab_cuda gradstab_cuda;

/// What was wrong in the last call with this object as its first argument; "" if it succeeded. For NULL, the
/// same as gradstab_last_error(NULL). Never NULL; valid until the next such call.
GRADSTAB_API const char* gradstab_cuda_last_error(const gradstab_cuda* object);

/// GRADSTAB_OK if there is a device to run on; otherwise the message of gradstab_cuda_last_error(NULL) says
/// why not: built without CUDA, no driver, no device.
GRADSTAB_API gradstab_status gradstab_cuda_available(void);

// ---- Makers -------------------------------------------------------------------------------------------
// Each puts a new object into *object, to be freed by gradstab_cuda_destroy; NULL after an error. On success
// the handle that it is made from must not be used again, not even freed. After an error the caller still
// owns it.

/// From gradstab_stabilize per tensor, or from another method that needs only norms of tensors. For the
/// latter the host decides and waits once per step. gradstab_cuda_init checks the method.
GRADSTAB_API gradstab_status gradstab_cuda_transform(gradstab_transform* transform, gradstab_cuda** object);

/// From any optimizer, with or without such a transform in front.
GRADSTAB_API gradstab_status gradstab_cuda_optimizer(gradstab_optimizer* optimizer, gradstab_cuda** object);

/// NULL is fine. Memory that steps are still using on the device must not be freed: wait for the stream
/// first.
GRADSTAB_API void gradstab_cuda_destroy(gradstab_cuda* object);

/// "stabilize", or "stabilize + adamw". Valid until the object is freed.
GRADSTAB_API gradstab_status gradstab_cuda_name(const gradstab_cuda* object, const char** name);

// ---- Parameters ---------------------------------------------------------------------------------------

/// How an object runs on its device. Filled by gradstab_cuda_options_init.
typedef struct gradstab_cuda_options {
  size_t struct_size;
  gradstab_nonfinite_policy nonfinite;
  int32_t device;   ///< ordinal; below 0: the calling thread's current device, or the first
  int32_t emulate;  ///< 1: the device's code on the host over host memory, slowly, for tests
  gradstab_low_precision low_precision;  ///< of an optimizer
  uint64_t seed;                         ///< of stochastic rounding
} gradstab_cuda_options;

/// Policy GRADSTAB_SKIP_TENSOR, the current device, no emulation, master copies.
GRADSTAB_API gradstab_status gradstab_cuda_options_init(gradstab_cuda_options* options, size_t struct_size);

/// Binds the object to parameters and allocates what it needs on the device; a second call starts afresh.
/// Waits for the device. `options` NULL: the defaults. Groups are those of gradstab_optimizer_init; NULL and
/// 0 for a transform.
GRADSTAB_API gradstab_status gradstab_cuda_init(gradstab_cuda* object, const gradstab_parameter* parameters,
                                                size_t count, const gradstab_cuda_options* options,
                                                const gradstab_optimizer_group* groups, size_t group_count);

// ---- Steps --------------------------------------------------------------------------------------------
// Tensors are dense device memory with `device` GRADSTAB_CUDA: gradients float32, float16 or bfloat16,
// parameters float32 or bfloat16 in the same order of elements. One entry per parameter in the registered
// order; a gradient without data is left out of the step. `parameters` is NULL for a transform.

/// One step: a transform scales the gradients in place, an optimizer updates the parameters and leaves the
/// gradients. At most four launches, and one copy where a tensor has moved since the last step.
GRADSTAB_API gradstab_status gradstab_cuda_step(gradstab_cuda* object, const gradstab_tensor* parameters,
                                                const gradstab_tensor* gradients, size_t count, void* stream);

/// One step of one parameter of an optimizer, as soon as backward has produced its gradient, whose memory may
/// be given to later work of the stream afterwards. Three launches, and no copy. Errors: those of
/// gradstab_optimizer_step_one.
GRADSTAB_API gradstab_status gradstab_cuda_step_one(gradstab_cuda* object, size_t index,
                                                    const gradstab_tensor* parameter,
                                                    const gradstab_tensor* gradient, void* stream);

/// Allocates the state of these parameters without a step. Needed before a first step of an optimizer that is
/// captured.
GRADSTAB_API gradstab_status gradstab_cuda_prepare(gradstab_cuda* object, const gradstab_tensor* parameters,
                                                   const gradstab_tensor* gradients, size_t count,
                                                   void* stream);

/// gradstab_cuda_step in two parts, for sharded gradients: between them the caller sums the squared norms
/// over the processes, in device memory and in the order of the stream.
GRADSTAB_API gradstab_status gradstab_cuda_measure(gradstab_cuda* object, const gradstab_tensor* parameters,
                                                   const gradstab_tensor* gradients, size_t count,
                                                   void* stream);
GRADSTAB_API gradstab_status gradstab_cuda_finish(gradstab_cuda* object, void* stream);

/// One double per parameter in device memory; valid until the next gradstab_cuda_init or change of rule.
GRADSTAB_API gradstab_status gradstab_cuda_squared_norms(const gradstab_cuda* object, double** squared_norms);

/// 1 in device memory while the last step was one that changed nothing (GRADSTAB_SKIP_STEP and
/// GRADSTAB_RAISE), else 0; valid as long as the squared norms.
GRADSTAB_API gradstab_status gradstab_cuda_skip_flag(const gradstab_cuda* object, const int32_t** flag);

/// Starts to copy the report of the last step to the host. May be captured.
GRADSTAB_API gradstab_status gradstab_cuda_request_report(gradstab_cuda* object, void* stream);

/// Whether (1 or 0) the report is there and gradstab_cuda_report would not wait.
GRADSTAB_API gradstab_status gradstab_cuda_report_is_ready(const gradstab_cuda* object, int32_t* ready);

/// The report that was requested last; waits until its copy is done. If the request was captured, wait for
/// the replay first. Its arrays are valid until the next call of this function. Errors: none was requested;
/// GRADSTAB_NON_FINITE under policy GRADSTAB_RAISE.
GRADSTAB_API gradstab_status gradstab_cuda_report(gradstab_cuda* object, gradstab_step_report* report);

// ---- Settings between steps ---------------------------------------------------------------------------

/// The learning rate of all groups of an optimizer, for steps from now on, replays of graphs included: it is
/// copied to the device in the order of the stream. Errors: a transform, a rate outside its range, a stream
/// that is being captured.
GRADSTAB_API gradstab_status gradstab_cuda_set_lr(gradstab_cuda* object, double lr, void* stream);

/// The same for one group.
GRADSTAB_API gradstab_status gradstab_cuda_set_group_lr(gradstab_cuda* object, size_t group, double lr,
                                                        void* stream);

// ---- State --------------------------------------------------------------------------------------------

/// All state, in the format of gradstab_save and gradstab_optimizer_save: the CPU can load it and the
/// reverse. Waits for the stream. To be freed by gradstab_free.
GRADSTAB_API gradstab_status gradstab_cuda_save(gradstab_cuda* object, void* stream, void** bytes,
                                                size_t* size);

/// Waits for the stream. A state that is refused leaves everything as it was.
GRADSTAB_API gradstab_status gradstab_cuda_load(gradstab_cuda* object, const void* bytes, size_t size,
                                                void* stream);

/// What the host has asked the device for since gradstab_cuda_init: kernels, copies, and times that it
/// waited. Each pointer is optional.
GRADSTAB_API gradstab_status gradstab_cuda_counts(const gradstab_cuda* object, uint64_t* launches,
                                                  uint64_t* copies, uint64_t* waits);

#ifdef __cplusplus
}
#endif

#endif
