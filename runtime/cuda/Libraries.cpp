//===- Libraries.cpp ------------------------------------------------------===//

#include "runtime/cuda/Libraries.h"

#include <dlfcn.h>
#include <vector>

namespace whale::runtime {

namespace {

/// Opens the first of some names and looks up functions in it; the first
/// problem is kept.
class Opener {
public:
  Opener(const std::vector<std::string> &names, const std::string &user) {
    std::string tried;
    for (const std::string &name : names) {
      Handle = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
      Path = name;
      if (Handle)
        return;
      tried += (tried.empty() ? "'" : ", '") + name + "'";
    }
    const char *reason = dlerror();
    fail("cannot open any of " + tried + " for " + user + ": " +
         (reason ? reason : "unknown"));
  }

  template <typename Function>
  void find(Function &function, const char *symbol) {
    void *found = Handle ? dlsym(Handle, symbol) : nullptr;
    if (Handle && !found)
      fail("'" + Path + "' is too old: it has no '" + symbol + "'");
    function = reinterpret_cast<Function>(found);
  }

  template <typename Library> Result<Library> finish(Library library) {
    if (Problem.failed())
      return Problem;
    library.path = Path;
    return library;
  }

private:
  void fail(std::string message) {
    if (Problem.ok())
      Problem = Status::error(ErrorKind::Unsupported, std::move(message));
  }

  void *Handle = nullptr;
  std::string Path;
  Status Problem;
};

Result<CublasLt> openCublasLt() {
  // The names of the toolkits whose interface the header's is.
  const std::string major = std::to_string(CUBLAS_VER_MAJOR);
  Opener library({"libcublasLt.so." + major, "libcublasLt.so"},
                 "matrix products");
  CublasLt out;
  library.find(out.getVersion, "cublasLtGetVersion");
  library.find(out.getStatusString, "cublasLtGetStatusString");
  library.find(out.create, "cublasLtCreate");
  library.find(out.destroy, "cublasLtDestroy");
  library.find(out.matmul, "cublasLtMatmul");
  library.find(out.getHeuristic, "cublasLtMatmulAlgoGetHeuristic");
  library.find(out.descCreate, "cublasLtMatmulDescCreate");
  library.find(out.descDestroy, "cublasLtMatmulDescDestroy");
  library.find(out.descSet, "cublasLtMatmulDescSetAttribute");
  library.find(out.layoutCreate, "cublasLtMatrixLayoutCreate");
  library.find(out.layoutDestroy, "cublasLtMatrixLayoutDestroy");
  library.find(out.layoutSet, "cublasLtMatrixLayoutSetAttribute");
  library.find(out.preferenceCreate, "cublasLtMatmulPreferenceCreate");
  library.find(out.preferenceDestroy, "cublasLtMatmulPreferenceDestroy");
  library.find(out.preferenceSet, "cublasLtMatmulPreferenceSetAttribute");
  return library.finish(out);
}

Result<Nccl> openNccl() {
  Opener library({"libnccl.so.2", "libnccl.so"}, "collectives");
  Nccl out;
  library.find(out.getVersion, "ncclGetVersion");
  library.find(out.getErrorString, "ncclGetErrorString");
  library.find(out.getLastError, "ncclGetLastError");
  library.find(out.getUniqueId, "ncclGetUniqueId");
  library.find(out.initRankConfig, "ncclCommInitRankConfig");
  library.find(out.split, "ncclCommSplit");
  library.find(out.abort, "ncclCommAbort");
  library.find(out.getAsyncError, "ncclCommGetAsyncError");
  library.find(out.groupStart, "ncclGroupStart");
  library.find(out.groupEnd, "ncclGroupEnd");
  library.find(out.allReduce, "ncclAllReduce");
  library.find(out.allGather, "ncclAllGather");
  library.find(out.reduceScatter, "ncclReduceScatter");
  library.find(out.broadcast, "ncclBroadcast");
  library.find(out.reduce, "ncclReduce");
  library.find(out.send, "ncclSend");
  library.find(out.receive, "ncclRecv");
  return library.finish(out);
}

Result<Driver> openDriver() {
  Opener library({"libcuda.so.1"}, "the GPU's driver");
  Driver out;
  library.find(out.memset2D32, "cuMemsetD2D32Async");
  library.find(out.memset16, "cuMemsetD16Async");
  library.find(out.memset32, "cuMemsetD32Async");
  return library.finish(out);
}

} // namespace

const Result<CublasLt> &cublasLt() {
  static const Result<CublasLt> library = openCublasLt();
  return library;
}

const Result<Nccl> &nccl() {
  static const Result<Nccl> library = openNccl();
  return library;
}

const Result<Driver> &driver() {
  static const Result<Driver> library = openDriver();
  return library;
}

std::string versionText(size_t code) {
  return std::to_string(code / 10000) + "." + std::to_string(code / 100 % 100) +
         "." + std::to_string(code % 100);
}

} // namespace whale::runtime
