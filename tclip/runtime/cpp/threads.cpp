#include "threads.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace tclip {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto SPIN_FOR_WORK = std::chrono::microseconds(200);  // after a call, before a worker sleeps
constexpr int SPINS_BEFORE_YIELD = 4000;                        // within a call, about 100 microseconds

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Spins, then gives way to others: for waits that last microseconds unless a neighbour is busy.
class Wait {
public:
    void once() {
        if (++spins_ < SPINS_BEFORE_YIELD) return pause();
        std::this_thread::yield();
    }

private:
    int spins_ = 0;
};

constexpr uint64_t next_of(uint64_t ticket) { return ticket & 0xFFFFF; }
constexpr uint64_t count_of(uint64_t ticket) { return ticket >> 20 & 0xFFFFF; }
constexpr uint64_t round_of(uint64_t ticket) { return ticket >> 40; }

}  // namespace

void Team::run(int count, const Task& task) {
    if (size_ == 1 || count <= 1) {
        for (int item = 0; item < count; ++item) task(item);
        return;
    }
    for (int begin = 0; begin < count; begin += MAX_ITEMS - 1) {
        const int items = std::min(count - begin, MAX_ITEMS - 1);
        const Task shifted = [&](int item) { task(begin + item); };
        done_.store(0, std::memory_order_relaxed);
        task_.store(begin ? &shifted : &task, std::memory_order_relaxed);
        const uint64_t round = round_of(ticket_.load(std::memory_order_relaxed)) + 1;
        ticket_.store(round << 40 | uint64_t(items) << 20, std::memory_order_release);
        while (take_one()) {}
        for (Wait wait; done_.load(std::memory_order_acquire) < items;) wait.once();
    }
}

bool Team::take_one() {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    while (next_of(ticket) < count_of(ticket)) {
        const Task* task = task_.load(std::memory_order_relaxed);
        // Taken only if the round is still the one that `task` was read in; and it stays so until the item is done.
        if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
        (*task)(int(next_of(ticket)));
        done_.fetch_add(1, std::memory_order_release);
        return true;
    }
    return false;
}

void Team::help() {
    Wait wait;
    while (!closed_.load(std::memory_order_acquire)) {
        if (take_one()) wait = Wait();
        else wait.once();
    }
}

// The workers of this process and who has them. Never destroyed: at exit its threads may still look at it.
class Pool {
public:
    std::shared_ptr<Team> acquire(int threads) {
        std::unique_lock lock(mutex_);
        const uint64_t turn = next_turn_++;
        callers_.wait(lock, [&] { return turn == serving_ && at_work_ < threads; });
        ++serving_;
        while (int(workers_.size()) < threads - 1) add_worker();
        const int size = threads - at_work_;
        auto team = std::make_shared<Team>(size);
        int missing = size - 1;
        for (auto& worker : workers_) {
            if (!missing) break;
            if (worker.busy) continue;
            worker.busy = true;
            worker.team = team;
            worker.posted.store(true, std::memory_order_release);
            if (worker.asleep) worker.wake.notify_one();
            --missing;
        }
        at_work_ += size;
        callers_.notify_all();
        return team;
    }

    void release(const std::shared_ptr<Team>& team) {
        team->closed_.store(true, std::memory_order_release);
        const std::lock_guard lock(mutex_);
        at_work_ -= team->size();
        callers_.notify_all();
    }

private:
    struct Worker {
        std::condition_variable wake;
        std::atomic<bool> posted{false};
        bool busy = false, asleep = false;
        std::shared_ptr<Team> team;
    };

    void add_worker() {
        Worker& worker = workers_.emplace_back();
        std::thread([this, &worker] { work(worker); }).detach();
    }

    void work(Worker& worker) {
        for (;;) {
            const auto until = Clock::now() + SPIN_FOR_WORK;
            while (!worker.posted.load(std::memory_order_acquire) && Clock::now() < until) pause();
            std::shared_ptr<Team> team;
            {
                std::unique_lock lock(mutex_);
                worker.asleep = true;
                worker.wake.wait(lock, [&] { return bool(worker.team); });
                worker.asleep = false;
                team = std::move(worker.team);
                worker.posted.store(false, std::memory_order_relaxed);
            }
            team->help();
            const std::lock_guard lock(mutex_);
            worker.busy = false;
        }
    }

    std::mutex mutex_;
    std::condition_variable callers_;
    std::deque<Worker> workers_;  // a deque, so that those there stay where they are
    uint64_t next_turn_ = 0, serving_ = 0;
    int at_work_ = 0;
};

namespace {

// A forked child has this memory but none of the threads, and perhaps a locked mutex: it begins anew.
Pool& pool_of_this_process() {
    struct Owned {
        pid_t owner;
        Pool pool;
    };
    static std::atomic<Owned*> current{nullptr};
    Owned* known = current.load(std::memory_order_acquire);
    while (!known || known->owner != getpid()) {
        auto fresh = std::make_unique<Owned>();
        fresh->owner = getpid();
        if (current.compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel)) known = fresh.release();
    }
    return known->pool;
}

}  // namespace

Lease::Lease(int threads) : pool_(&pool_of_this_process()), team_(pool_->acquire(threads < 1 ? 1 : threads)) {}

Lease::~Lease() { pool_->release(team_); }

}  // namespace tclip
