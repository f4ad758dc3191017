package service

// ListenBy is Listen with another way to try.
var ListenBy = listen
