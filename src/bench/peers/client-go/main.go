// A contender (src/bench/contender.ts) that leads by k8s.io/client-go/tools/leaderelection with a Lease.
//
// The relations of the timings are the defaults' (15 s, 10 s, 2 s), with the TTL as lease duration. As the package
// advises: all work has ended before the context is cancelled (ReleaseOnCancel demands it), requests time out after
// half of the renew deadline, and a leader that lost its lease stops, here before its next message. A planned switch
// releases the lease by cancelling; the contender then stays away for as long as the others may take to look again,
// as a restarting pod does.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"baton/bench/contender"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// The bearer token, from the environment: arguments are visible to everybody on the machine.
const tokenVariable = "BATON_BENCH_TOKEN"

func main() {
	self := contender.New()
	renewDeadline := self.TTL * 2 / 3
	retryPeriod := self.TTL * 2 / 15

	clients, err := kubernetes.NewForConfig(&rest.Config{
		Host:            "https://" + self.Servers[0],
		BearerToken:     os.Getenv(tokenVariable),
		TLSClientConfig: rest.TLSClientConfig{Insecure: true}, // A server of the bench's own, on loopback.
		Timeout:         renewDeadline / 2,
	})
	if err != nil {
		log.Fatal(err)
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Name: self.Lock, Namespace: metav1.NamespaceDefault},
		Client:     clients.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: self.Name},
	}
	for {
		compete(self, leaderelection.LeaderElectionConfig{
			Lock:            lock,
			LeaseDuration:   self.TTL,
			RenewDeadline:   renewDeadline,
			RetryPeriod:     retryPeriod,
			ReleaseOnCancel: true,
		})
		// A candidate looks at the lease every retry period with a jitter of up to 1.2 periods.
		time.Sleep(retryPeriod * 5 / 2)
	}
}

// compete stands and leads once.
func compete(self *contender.Contender, config leaderelection.LeaderElectionConfig) {
	ctx, release := context.WithCancel(context.Background())
	defer release()
	stopped := make(chan struct{})
	config.Callbacks = leaderelection.LeaderCallbacks{
		// Called in a goroutine of its own; its context ends with the lead.
		OnStartedLeading: func(lead context.Context) {
			defer close(stopped)
			self.Lead(lead)
			release()
		},
		OnStoppedLeading: func() {},
	}
	elector, err := leaderelection.NewLeaderElector(config)
	if err != nil {
		log.Fatal(err)
	}
	self.Stand()
	elector.Run(ctx)
	<-stopped // Run returns only after a lead.
}
