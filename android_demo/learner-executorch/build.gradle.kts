// The EdgeLearner on ExecuTorch's step programs, but for the engine: its Java classes are in an aar, which only
// :app can take. The tests run the engine of the Python wheel.
import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    id("org.jetbrains.kotlin.jvm")
    id("org.jetbrains.kotlin.plugin.serialization")
}

dependencies {
    api(project(":core"))
    implementation(libs.serialization)
    testImplementation(platform(libs.junit.bom))
    testImplementation(libs.junit.jupiter)
    testImplementation(libs.jqwik)
    testImplementation(libs.kotlin.test)
    testRuntimeOnly(libs.junit.launcher)
}

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
}

kotlin {
    compilerOptions {
        jvmTarget = JvmTarget.JVM_1_8
        allWarningsAsErrors = true
        freeCompilerArgs.add("-Xsuppress-deprecated-jvm-target-warning")
    }
}

// The tests that all learners pass.
kotlin.sourceSets.named("test") {
    kotlin.srcDir("../learner-suite")
}

tasks.test {
    useJUnitPlatform()
}
