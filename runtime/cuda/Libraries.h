//===- Libraries.h - Functions of libraries opened at run time --*- C++ -*-===//

#ifndef WHALE_RUNTIME_CUDA_LIBRARIES_H
#define WHALE_RUNTIME_CUDA_LIBRARIES_H

#include "runtime/format/Status.h"

#include <cublasLt.h>
#include <nccl.h>

namespace whale::runtime {

using format::ErrorKind;
using format::Result;
using format::Status;

/// The functions of cublasLt that are used, under their names without prefix.
struct CublasLt {
  std::string path; ///< the name it was opened by
  decltype(&cublasLtGetVersion) getVersion;
  decltype(&cublasLtGetStatusString) getStatusString;
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) getHeuristic;
  decltype(&cublasLtMatmulDescCreate) descCreate;
  decltype(&cublasLtMatmulDescDestroy) descDestroy;
  decltype(&cublasLtMatmulDescSetAttribute) descSet;
  decltype(&cublasLtMatrixLayoutCreate) layoutCreate;
  decltype(&cublasLtMatrixLayoutDestroy) layoutDestroy;
  decltype(&cublasLtMatrixLayoutSetAttribute) layoutSet;
  decltype(&cublasLtMatmulPreferenceCreate) preferenceCreate;
  decltype(&cublasLtMatmulPreferenceDestroy) preferenceDestroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preferenceSet;
};

struct Nccl {
  std::string path;
  decltype(&ncclGetVersion) getVersion;
  decltype(&ncclGetErrorString) getErrorString;
  decltype(&ncclGetLastError) getLastError;
  decltype(&ncclGetUniqueId) getUniqueId;
  decltype(&ncclCommInitRankConfig) initRankConfig;
  decltype(&ncclCommSplit) split;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclCommGetAsyncError) getAsyncError;
  decltype(&ncclGroupStart) groupStart;
  decltype(&ncclGroupEnd) groupEnd;
  decltype(&ncclAllReduce) allReduce;
  decltype(&ncclAllGather) allGather;
  decltype(&ncclReduceScatter) reduceScatter;
  decltype(&ncclBroadcast) broadcast;
  decltype(&ncclReduce) reduce;
  decltype(&ncclSend) send;
  decltype(&ncclRecv) receive;
};

/// The few driver functions that the CUDA runtime has no equal of; in terms of
/// plain types, so that no library of the driver is linked.
struct Driver {
  std::string path;
  int (*memset2D32)(unsigned long long, size_t pitch, unsigned, size_t width,
                    size_t height, void *stream);
  int (*memset16)(unsigned long long, unsigned short, size_t, void *stream);
  int (*memset32)(unsigned long long, unsigned, size_t, void *stream);
};

/// Opened once a process and never closed: these libraries cannot be unloaded
/// safely. Unsupported when there is none, or when it lacks a function.
const Result<CublasLt> &cublasLt();
const Result<Nccl> &nccl();
const Result<Driver> &driver();

/// "2.28.9" of a version code 22809 of NCCL (from 2.9 on) or cublasLt.
std::string versionText(size_t code);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CUDA_LIBRARIES_H
