module baton/bench/contender

go 1.25.0

require (
	github.com/rabbitmq/amqp091-go v1.16.0
	golang.org/x/sys v0.44.0
)
