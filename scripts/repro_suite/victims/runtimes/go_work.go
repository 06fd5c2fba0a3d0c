// A Go library as others call it (-buildmode=c-shared): goroutines, the collector, the network.
package main

import "C"

import (
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"time"
)

var turns int64

// Goroutines starts eight goroutines and adds up what they send.
//
//export Goroutines
func Goroutines() C.int {
	results := make(chan int)
	for i := 0; i < 8; i++ {
		go func(i int) {
			runtime.Gosched()
			results <- i
		}(i)
	}
	sum := 0
	for i := 0; i < 8; i++ {
		sum += <-results
	}
	if sum != 28 {
		return 1
	}
	return 0
}

// Collect runs the garbage collector.
//
//export Collect
func Collect() C.int {
	garbage := make([][]byte, 100)
	for i := range garbage {
		garbage[i] = make([]byte, 1024)
	}
	runtime.GC()
	return 0
}

// Echo sends and receives on a connection of its own.
//
//export Echo
func Echo() C.int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(connection, connection)
				connection.Close()
			}()
		}
	}()
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return 2
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(10 * time.Second))
	buffer := make([]byte, 4)
	for i := 0; i < 5; i++ {
		if _, err := connection.Write([]byte("abcd")); err != nil {
			return 3
		}
		if _, err := io.ReadFull(connection, buffer); err != nil {
			return 4
		}
		time.Sleep(200 * time.Microsecond)
	}
	return 0
}

// Busy starts pairs of goroutines that allocate and wake each other for ever.
//
//export Busy
func Busy(pairs C.int) {
	for i := 0; i < int(pairs); i++ {
		there, back := make(chan int), make(chan int)
		go func() {
			for {
				value := <-there
				block := make([]byte, 1024+value%4096)
				block[0] = 1
				back <- value
			}
		}()
		go func() {
			for j := 0; ; j++ {
				there <- j
				<-back
				atomic.AddInt64(&turns, 1)
				if j%64 == 0 {
					time.Sleep(100 * time.Microsecond)
				}
			}
		}()
	}
}

func main() {}
