/// The C interface of gradstab, for training engines in any language. docs/c-abi.md is its manual. The
/// optimizers are in gradstab/optimizer.h, which includes this.
///
/// Life of a transform: made by gradstab_stabilize or another of the makers, bound to named parameters by
/// gradstab_init, called once per optimizer step with the gradients, freed by gradstab_destroy.
///
/// Errors: every function that can fail returns a gradstab_status, and gradstab_last_error then says in one
/// line what was wrong. Nothing is printed, nothing aborts, no C++ exception leaves the library. Wherever a
/// pointer is not said to be optional, NULL is an error.
///
/// Threads: one thread at a time per transform, calls on a const transform included; different transforms
/// are independent of each other.
///
/// Compatibility: what is here keeps its meaning and its layout while GRADSTAB_ABI_VERSION stays the same.
/// Structs that begin with `struct_size` may get further fields at their end, for which 0 means what the
/// library did before. Structs that are passed in arrays never change. Fields named `reserved` must be 0.
#ifndef GRADSTAB_GRADSTAB_H
#define GRADSTAB_GRADSTAB_H

#include <stddef.h>
#include <stdint.h>

#include "gradstab/export.hpp"

#ifdef __cplusplus
extern "C" {
#endif

#define GRADSTAB_ABI_VERSION 1

// ---- Library ------------------------------------------------------------------------------------------

/// The library's version, for example "0.2.0".
GRADSTAB_API const char* gradstab_version_string(void);

/// GRADSTAB_ABI_VERSION of the library that runs; compare it with the one compiled in.
GRADSTAB_API int32_t gradstab_abi_version(void);

/// What kind of thing went wrong.
typedef int32_t gradstab_status;
enum {
  GRADSTAB_OK = 0,
  GRADSTAB_INVALID_ARGUMENT = 1,     ///< a setting is outside its range, or NULL where a pointer is needed
  GRADSTAB_SHAPE_MISMATCH = 2,       ///< tensors or state do not belong to the registered parameters
  GRADSTAB_UNSUPPORTED = 3,          ///< a dtype, layout, device or combination that is not implemented
  GRADSTAB_FAILED_PRECONDITION = 4,  ///< called in the wrong order, for example update before init
  GRADSTAB_NON_FINITE = 5,           ///< a gradient holds NaN or Inf and the policy is GRADSTAB_RAISE
  GRADSTAB_CORRUPT_DATA = 6,         ///< truncated, damaged or foreign bytes
  GRADSTAB_VERSION_MISMATCH = 7,     ///< the data was written by a newer or unknown format version
  GRADSTAB_IO_ERROR = 8,             ///< the operating system refused
  GRADSTAB_OUT_OF_MEMORY = 100,
  GRADSTAB_INTERNAL_ERROR = 101  ///< a defect of the library
};

/// The lower-case name of a status, for example "invalid_argument"; "unknown" for any other number.
GRADSTAB_API const char* gradstab_status_name(gradstab_status status);

typedef struct gradstab_transform gradstab_transform;

/// What was wrong in the last call with this transform as its first argument; "" if it succeeded. For NULL,
/// the same of the calling thread's last call without a transform or an optimizer: makers, and functions that
/// were given NULL. Never NULL; valid until the next such call.
GRADSTAB_API const char* gradstab_last_error(const gradstab_transform* transform);

/// Backends: the kernels that touch gradient memory, the fastest last.
GRADSTAB_API size_t gradstab_backend_count(void);

/// The name to ask for a backend by, and whether (1 or 0) this machine can run it. The name is never freed.
/// `supported` is optional. Errors: no backend of that index.
GRADSTAB_API gradstab_status gradstab_backend_info(size_t index, const char** name, int32_t* supported);

/// Frees what gradstab_save and gradstab_optimizer_save allocated. NULL is fine.
GRADSTAB_API void gradstab_free(void* memory);

// ---- Settings -----------------------------------------------------------------------------------------

typedef int32_t gradstab_preset;
enum {
  GRADSTAB_PRESET_DEFAULT = 0,   ///< the paper's decays with bias correction
  GRADSTAB_PRESET_PAPER = 1,     ///< Algorithm 1 of the paper: no bias correction
  GRADSTAB_PRESET_RELEASED = 2,  ///< the authors' code to the letter: default and epsilon 1e-12
  GRADSTAB_PRESET_ROBUST = 3     ///< default with robust moments, robust_kappa 3
};

/// Settings of GradientStabilizer. Filled by gradstab_stabilizer_options_init; 0 is not a default here.
typedef struct gradstab_stabilizer_options {
  size_t struct_size;
  double gamma1;            ///< decay of the first moment of the gradient norm, in [0, 1)
  double gamma2;            ///< decay of the second moment of the gradient norm, in [0, 1)
  double epsilon;           ///< added to the root of the second moment; 0 keeps scale invariance
  double spike_ratio;       ///< a norm above this many roots of the second moment is labelled a spike
  double robust_kappa;      ///< 0: off; above 1: a norm enters the moments as at most kappa times their mean
  int32_t bias_correction;  ///< 1: divide each moment by one minus its decay to the step count; 0: do not
  int32_t reserved;
} gradstab_stabilizer_options;

/// Fills `options` with a preset. `struct_size` is sizeof(gradstab_stabilizer_options).
GRADSTAB_API gradstab_status gradstab_stabilizer_options_init(gradstab_stabilizer_options* options,
                                                              size_t struct_size, gradstab_preset preset);

/// The most that the stabilized norm of one unit can be at any step, whatever the gradients; infinity where
/// there is no such bound. `options` may be NULL (defaults).
GRADSTAB_API gradstab_status gradstab_uniform_bound(const gradstab_stabilizer_options* options,
                                                    double* bound);

/// The same at step `step`, counted from 1.
GRADSTAB_API gradstab_status gradstab_step_bound(const gradstab_stabilizer_options* options, int64_t step,
                                                 double* bound);

/// Which elements share norm moments and a factor.
typedef int32_t gradstab_granularity;
enum {
  GRADSTAB_PER_TENSOR = 0,  ///< every tensor has moments of its own
  GRADSTAB_PER_ROW = 1,     ///< every index of axis 0 has its own; tensors of rank 0 and 1 are one unit each
  GRADSTAB_PER_GROUP = 2,   ///< the tensors of a named group share theirs; one in no group has its own
  GRADSTAB_WHOLE_MODEL = 3  ///< all tensors share one
};

/// Tensors that share moments: those whose name matches one of the patterns, in which `*` stands for any
/// characters, also none.
typedef struct gradstab_unit_group {
  const char* name;
  const char* const* patterns;
  size_t pattern_count;
} gradstab_unit_group;

/// The units of one method. All 0 but `struct_size`: per tensor.
typedef struct gradstab_units {
  size_t struct_size;
  gradstab_granularity granularity;
  int32_t reserved;
  const gradstab_unit_group* groups;  ///< for GRADSTAB_PER_GROUP; the first group that matches a name has it
  size_t group_count;
} gradstab_units;

// ---- Makers -------------------------------------------------------------------------------------------
// Each puts a new transform into *transform, to be freed by gradstab_destroy; NULL after an error. Settings
// are copied. Errors: a setting outside its range.

/// GradientStabilizer: keeps each unit's gradient direction and replaces its norm by first moment / root of
/// second moment of its history. `options` NULL: defaults. `units` NULL: per tensor.
GRADSTAB_API gradstab_status gradstab_stabilize(const gradstab_stabilizer_options* options,
                                                const gradstab_units* units, gradstab_transform** transform);

/// Scales all gradients by min(1, max_norm / (global norm + 1e-6)). `max_abs` 1: the global norm is the
/// largest absolute entry; 0: the Euclidean norm.
GRADSTAB_API gradstab_status gradstab_clip_by_global_norm(double max_norm, int32_t max_abs,
                                                          gradstab_transform** transform);

/// Changes nothing and labels gradient spikes. `units` NULL: per tensor.
GRADSTAB_API gradstab_status gradstab_record_norms(double spike_ratio, const gradstab_units* units,
                                                   gradstab_transform** transform);

/// One setting of a method: `text` as gradstab_transform_from_text has it, or, where that is NULL, `number`;
/// flags are 0 and 1. Passed in arrays, so it never changes.
typedef struct gradstab_setting {
  const char* name;
  double number;
  const char* text;
} gradstab_setting;

/// Any method by its name, "zclip", with settings by theirs; those that are left out have their defaults,
/// which gradstab_setting_info reports. `settings` may be NULL where `count` is 0. `units` NULL: per tensor.
/// Errors beside those of all makers: no such method or setting, with the nearest name; units for a method
/// without.
GRADSTAB_API gradstab_status gradstab_method(const char* method, const gradstab_setting* settings,
                                             size_t count, const gradstab_units* units,
                                             gradstab_transform** transform);

/// A method or a chain from a text, "zclip(z_threshold=3)+stabilize": docs/methods.md has its form. Errors
/// beside those of all makers: no such text, method or setting, with the nearest name.
GRADSTAB_API gradstab_status gradstab_transform_from_text(const char* text, gradstab_transform** transform);

/// How many methods there are.
GRADSTAB_API size_t gradstab_method_count(void);

/// The name of a method, what it does in a few words, and how many settings it has, each optional. Errors: no
/// method of that index.
GRADSTAB_API gradstab_status gradstab_method_info(size_t index, const char** name, const char** summary,
                                                  size_t* setting_count);

/// Everything that is known about one setting. The texts belong to the library and are never freed.
typedef struct gradstab_setting_description {
  size_t struct_size;  ///< set by the caller
  const char* name;
  const char* help;          ///< what it means
  const char* default_text;  ///< its default, as a text has it
  const char* range;         ///< what it must be, "in [0, 1)"; "" for what is no number
} gradstab_setting_description;

/// Setting `index` of a method, in the order of its options. Errors: no such method, no setting of that
/// index.
GRADSTAB_API gradstab_status gradstab_setting_info(const char* method, size_t index,
                                                   gradstab_setting_description* description);

/// An ordered chain; however many links it has, gradients are read once and written once. On success the
/// links are part of the chain: their handles are gone and must not be used again, not even freed, and what
/// they were bound to and remembered is gone too. After an error the caller still owns every link as it was;
/// after GRADSTAB_OUT_OF_MEMORY links may have become unusable, but still are the caller's to free. Errors:
/// a NULL link, the same link twice.
GRADSTAB_API gradstab_status gradstab_chain(gradstab_transform* const* links, size_t count,
                                            gradstab_transform** transform);

/// NULL is fine.
GRADSTAB_API void gradstab_destroy(gradstab_transform* transform);

/// "stabilize", or "chain(clip_by_global_norm, stabilize)". Valid until the transform is freed.
GRADSTAB_API gradstab_status gradstab_transform_name(const gradstab_transform* transform, const char** name);

// ---- Methods of one's own -------------------------------------------------------------------------------
// A method that goes by norms, as callbacks. The library measures, chains, shards, updates, reports and
// saves. docs/extending.md has an example.

/// One unit in one step: what was measured, and what the method decides. Passed in arrays, so it never
/// changes.
typedef struct gradstab_unit_step {
  size_t unit;            ///< its index, from 0: of a tensor, its position
  double norm;            ///< Euclidean norm of its gradient, with the factors of the methods in front
  double max_abs;         ///< its largest absolute value, likewise, if asked for
  double parameter_norm;  ///< Euclidean norm of its parameters, if asked for
  double factor;          ///< to be set: what its gradient is multiplied by, at least 0; NaN before
  int32_t finite;         ///< 0: a part of it held NaN or Inf and counts as zero
  int32_t spike;          ///< 0; set to 1, the unit is labelled a spike in the report
} gradstab_unit_step;

/// In the place of a unit: what a method remembers beside what belongs to one.
#define GRADSTAB_NO_UNIT SIZE_MAX

/// A method. All 0 but `struct_size`, `name`, `version`, `reset` and `decide` is a method per tensor that
/// remembers nothing. The callbacks that return a text return NULL, or what went wrong in one line, which is
/// copied: the call of the library that needed them then fails with it, behind the method's name, and has
/// changed nothing. Threads: that of the call.
typedef struct gradstab_norm_method {
  size_t struct_size;
  const char* name;  ///< lower-case letters, digits and '_'; none of the library's. State is saved under it
  int32_t version;   ///< of what `save` gives; at least 1. A state of a later version is refused
  int32_t
      some_units;   ///< 1: `decide` is content with some units at a time, as in gradstab_optimizer_step_one
  int32_t max_abs;  ///< 1: asks for it. Needs the gradients themselves: neither shards nor devices
  int32_t parameter_norms;           ///< 1: asks for them. The same holds
  const gradstab_units* units;       ///< what has a norm and a factor; NULL: per tensor
  const gradstab_setting* settings;  ///< states are loaded only where these agree; may be NULL
  size_t setting_count;
  void* user;  ///< passed to all callbacks
  /// Starts afresh with units 0 to `units` - 1.
  const char* (*reset)(size_t units, void* user);
  /// Sets the factors of these units, in growing order of units. Not there are units without a gradient, and
  /// those that hold no finite part, which the non-finite policy deals with.
  const char* (*decide)(gradstab_unit_step* steps, size_t count, void* user);
  /// Optional: returns how many numbers it remembers of a unit, or of GRADSTAB_NO_UNIT, and writes them where
  /// `capacity` has room for all. Also called in every step, to undo one that fails.
  size_t (*save)(size_t unit, double* values, size_t capacity, void* user);
  /// With `save`: restores what it gave. `version` is that of the method that has saved it.
  const char* (*load)(size_t unit, const double* values, size_t count, int32_t version, void* user);
  /// Optional: `user` is not needed any more. Called once, when what was made is gone.
  void (*release)(void* user);
} gradstab_norm_method;

/// A transform of that method; it can do and be chained what those of the library can. Errors, after which
/// `user` is the caller's to release: no proper name or version, a missing callback, `load` without `save` or
/// the reverse. gradstab_init refuses it behind an element-wise method, which has changed the gradients
/// before this one can fail.
GRADSTAB_API gradstab_status gradstab_own_method(const gradstab_norm_method* method,
                                                 gradstab_transform** transform);

// ---- Parameters ---------------------------------------------------------------------------------------

/// Larger ranks are refused as mistakes.
#define GRADSTAB_MAX_RANK 64

typedef struct gradstab_parameter {
  const char* name;  ///< unique and not empty; state is saved under it
  size_t rank;
  const int64_t* sizes;  ///< `rank` of them; NULL where the rank is 0
} gradstab_parameter;

/// What to do with a gradient that holds NaN or Inf.
typedef int32_t gradstab_nonfinite_policy;
enum {
  GRADSTAB_SKIP_TENSOR = 0,  ///< that tensor's gradient becomes zero, its moments stay; the others go on
  GRADSTAB_SKIP_STEP = 1,  ///< nothing is changed and the report asks the caller to skip the optimizer's step
  GRADSTAB_RAISE = 2,      ///< nothing is changed and the update returns GRADSTAB_NON_FINITE
  GRADSTAB_PASS_THROUGH = 3  ///< left as it is (stabilize) or multiplied (clipping)
};

/// Runs task(context, i) for every i in [0, count), once each, in any order and on any threads, and returns
/// when all have returned. `user` is gradstab_run_options.user.
typedef void (*gradstab_task)(void* context, size_t index);
typedef void (*gradstab_run_tasks)(size_t count, gradstab_task task, void* context, void* user);

/// How a transform runs; no result depends on it. All 0 but `struct_size`: policy GRADSTAB_SKIP_TENSOR, the
/// fastest backend, the calling thread only.
typedef struct gradstab_run_options {
  size_t struct_size;
  gradstab_nonfinite_policy nonfinite;
  uint32_t threads;        ///< of a pool of the transform's own, the calling one included; at most 1024
  const char* backend;     ///< NULL or "": $GRADSTAB_BACKEND, else the fastest that this machine can run
  gradstab_run_tasks run;  ///< optional: the engine's own threads, instead of `threads`
  void* user;              ///< passed to `run`; must live as long as the transform or until the next init
  uint32_t concurrency;    ///< with `run`: tasks that it may run at the same time, at least 1
  uint32_t reserved;
} gradstab_run_options;

/// Binds the transform to parameters and allocates all state; a second call starts afresh. Everything is
/// copied. `options` NULL: all defaults. Errors, after which the transform is not initialised: an empty,
/// repeated or missing name, a negative size, a group without parameters, an unknown backend, threads that
/// the system refuses to start.
GRADSTAB_API gradstab_status gradstab_init(gradstab_transform* transform,
                                           const gradstab_parameter* parameters, size_t count,
                                           const gradstab_run_options* options);

/// Continues with other parameters: state of the names that stay is kept, new names start fresh. An error
/// leaves parameters and state as they were.
GRADSTAB_API gradstab_status gradstab_rebind(gradstab_transform* transform,
                                             const gradstab_parameter* parameters, size_t count);

/// How many parameters are registered.
GRADSTAB_API gradstab_status gradstab_parameter_count(const gradstab_transform* transform, size_t* count);

/// The name of a registered parameter; valid until the next gradstab_init or gradstab_rebind. Errors: no
/// parameter of that index.
GRADSTAB_API gradstab_status gradstab_parameter_name(const gradstab_transform* transform, size_t index,
                                                     const char** name);

/// The name of the backend in use; valid until the next gradstab_init. Errors: not initialised.
GRADSTAB_API gradstab_status gradstab_backend_in_use(const gradstab_transform* transform, const char** name);

// ---- Steps --------------------------------------------------------------------------------------------

typedef int32_t gradstab_dtype;
enum {
  GRADSTAB_FLOAT32 = 0,
  GRADSTAB_FLOAT64 = 1,
  GRADSTAB_FLOAT16 = 2,  ///< IEEE 754 binary16
  GRADSTAB_BFLOAT16 = 3
};

typedef int32_t gradstab_device;
enum { GRADSTAB_CPU = 0, GRADSTAB_CUDA = 1 };

/// A gradient in the caller's memory. All 0 but `data`: float32 on the CPU, in the registered shape,
/// row-major contiguous.
typedef struct gradstab_tensor {
  void* data;  ///< NULL: no gradient in this step; nothing else is then read
  gradstab_dtype dtype;
  gradstab_device device;
  size_t rank;             ///< of `sizes` and `strides`; not needed where both are NULL
  const int64_t* sizes;    ///< NULL: the registered ones
  const int64_t* strides;  ///< in elements, none negative; NULL: row-major contiguous
  /// 1: the memory holds only the stored values of a sparse gradient, each of its elements at most once;
  /// `sizes` are those of the values, the rest of the gradient is zero. Not for methods that work per row.
  int32_t sparse_values;
  int32_t reserved;
} gradstab_tensor;

/// One tensor, or one of its rows, in one step.
typedef struct gradstab_tensor_report {
  double raw_norm;  ///< Euclidean norm of the gradient as it came in; NaN or infinite if an element is
  double norm;      ///< the same after the transform
  double factor;    ///< what the gradient was multiplied by
  uint8_t present;  ///< 1: there was a gradient
  uint8_t finite;   ///< 0: the gradient held NaN or Inf
  uint8_t spike;    ///< 1: the raw norm was far above its recent statistics
  uint8_t zeroed;   ///< 1: the gradient was replaced by zeros (non-finite under GRADSTAB_SKIP_TENSOR)
  uint32_t reserved;
} gradstab_tensor_report;

/// One step over all registered parameters. The arrays belong to the transform and are valid until its next
/// call that is not const.
typedef struct gradstab_step_report {
  size_t struct_size;      ///< set by the caller
  int64_t step;            ///< updates made by this transform, this one included
  double raw_global_norm;  ///< over all tensors whose gradient is present and finite
  double global_norm;      ///< the same after the transform
  size_t spikes;           ///< tensors labelled in this step
  size_t nonfinite;        ///< tensors with NaN or Inf in this step
  int32_t skip_step;       ///< 1: policy GRADSTAB_SKIP_STEP asks the caller not to run the optimizer
  int32_t reserved;
  size_t tensor_count;
  const gradstab_tensor_report* tensors;  ///< in the order of the parameters
  /// Where a method works per row: all rows of all tensors, and the index of each tensor's first row (and,
  /// last, `row_count`). A tensor's own report then holds the norms of its rows together. Otherwise 0, NULL.
  size_t row_count;
  const gradstab_tensor_report* rows;
  const size_t* first_row;
} gradstab_step_report;

#define GRADSTAB_NO_STEP INT64_MIN

/// Transforms the gradients in place: one tensor per parameter, in the registered order. Allocates nothing
/// from the second call on.
///
/// `step`, unless GRADSTAB_NO_STEP, must grow from call to call: a second call in the same step, which would
/// update the moments twice, is refused. `report` is optional. Errors leave gradients and moments as they
/// were: not initialised, wrong count, shape, dtype or device, memory that overlaps itself or another
/// gradient, and under policy GRADSTAB_RAISE a non-finite gradient. The report is empty after an error,
/// except GRADSTAB_NON_FINITE, after which it holds what was measured.
GRADSTAB_API gradstab_status gradstab_update(gradstab_transform* transform, const gradstab_tensor* tensors,
                                             size_t count, int64_t step, gradstab_step_report* report);

/// The same for gradients that all have one dtype, their registered shape, and lie contiguous on the CPU. A
/// NULL in `data` means that there is no gradient in this step.
GRADSTAB_API gradstab_status gradstab_update_pointers(gradstab_transform* transform, void* const* data,
                                                      size_t count, gradstab_dtype dtype, int64_t step,
                                                      gradstab_step_report* report);

/// The tensors whose gradient held NaN or Inf in the last step: puts their number into *count and the first
/// `capacity` of their indices, in growing order, into `indices`, which may be NULL where `capacity` is 0.
/// gradstab_parameter_name names them.
GRADSTAB_API gradstab_status gradstab_nonfinite_tensors(const gradstab_transform* transform, size_t* indices,
                                                        size_t capacity, size_t* count);

// ---- State --------------------------------------------------------------------------------------------
// What a transform remembers, in the versioned and checksummed format of docs/state-format.md. Parameters
// are matched by name. A load that fails leaves the state as it was. Only where memory is too short to
// restore the old state, gradstab_load and gradstab_rebind leave the transform uninitialised, and its next
// call says so.

/// Puts all state into new memory, to be freed by gradstab_free. Errors: not initialised.
GRADSTAB_API gradstab_status gradstab_save(const gradstab_transform* transform, void** bytes, size_t* size);

/// Restores what gradstab_save wrote, into a transform made and initialised with the same methods, settings
/// and parameters; the order of the parameters may differ. Errors: not initialised, truncated, damaged,
/// foreign or newer data, other parameters, methods or settings.
GRADSTAB_API gradstab_status gradstab_load(gradstab_transform* transform, const void* bytes, size_t size);

/// gradstab_save into a file, which is replaced as a whole: the bytes go to a temporary name in the same
/// folder, are flushed to the disk, and are then given the file's name. An error removes the temporary file
/// and leaves an existing one as it was. A symbolic link is followed. A device or a pipe is written to as it
/// is.
GRADSTAB_API gradstab_status gradstab_save_file(const gradstab_transform* transform, const char* path);

/// gradstab_load from a file or a pipe. A device is refused: GRADSTAB_IO_ERROR.
GRADSTAB_API gradstab_status gradstab_load_file(gradstab_transform* transform, const char* path);

#ifdef __cplusplus
}
#endif

#endif
