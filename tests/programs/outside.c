/* Threads, a condition variable and a fork in plain C: for programs that the shim cannot be loaded into, below a shell
   that it is loaded into. Built static, for 32 bits, and with musl. */
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t counted = PTHREAD_COND_INITIALIZER;
static int count;

static void* add(void* argument) {
  pthread_mutex_lock(&mutex);
  count++;
  pthread_cond_signal(&counted);
  pthread_mutex_unlock(&mutex);
  return argument;
}

static int four_add(void) {
  pthread_t threads[4];
  count = 0;
  for (int i = 0; i < 4; i++) {
    if (pthread_create(&threads[i], NULL, add, &count) != 0) return 1;
  }
  pthread_mutex_lock(&mutex);
  while (count < 4) pthread_cond_wait(&counted, &mutex);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < 4; i++) {
    void* result = NULL;
    if (pthread_join(threads[i], &result) != 0 || result != &count) return 2;
  }
  return 0;
}

int main(void) {
  if (four_add() != 0) return 1;
  const pid_t child = fork();
  if (child < 0) return 2;
  if (child == 0) _exit(four_add());
  int status;
  if (waitpid(child, &status, 0) != child || status != 0) return 3;
  puts("four and four");
  return 0;
}
